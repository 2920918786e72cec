package crowdsec

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/models"
	"github.com/gaissmai/bart"
)

// ban is one decision. An address or a range may have several: from a scenario, from a list, from an operator.
type ban struct {
	ID    int64 `json:"id"`
	Until int64 `json:"until"` // Unix seconds
}

// decisions is an immutable table from address or range to its bans. Lookups take no lock; changes make a new table.
type decisions struct {
	table *bart.Table[[]ban]
	where map[int64]netip.Prefix // decision id → the prefix it stands at
}

func noDecisions() *decisions {
	return &decisions{table: new(bart.Table[[]ban]), where: map[int64]netip.Prefix{}}
}

// banned tells whether any ban of the address itself or of a range around it is still in force.
func (d *decisions) banned(ip netip.Addr, now time.Time) bool {
	bans, ok := d.table.Lookup(ip)
	if !ok {
		return false
	}
	if inForce(bans, now.Unix()) {
		return true
	}
	for _, bans := range d.table.Supernets(netip.PrefixFrom(ip, ip.BitLen())) { // rare: the longest match has expired
		if inForce(bans, now.Unix()) {
			return true
		}
	}
	return false
}

func inForce(bans []ban, now int64) bool {
	return slices.ContainsFunc(bans, func(b ban) bool { return b.Until > now })
}

// changed returns the table after one answer of LAPI. full answers hold everything: what they do not name is gone.
// ignored counts what is no ban of an address or range (captchas, scopes like country).
func (d *decisions) changed(answer *models.DecisionsStreamResponse, full bool, now time.Time) (after *decisions, ignored int) {
	after = noDecisions()
	if !full {
		after = d.unexpired(now)
		for _, x := range answer.Deleted {
			after.remove(x)
		}
	}
	for _, x := range answer.New {
		p, b, ok := parse(x, now)
		if !ok {
			ignored++
			continue
		}
		after.add(p, b)
	}
	return after, ignored
}

// unexpired copies the bans that are still in force.
func (d *decisions) unexpired(now time.Time) *decisions {
	after := noDecisions()
	for p, bans := range d.table.All() {
		for _, b := range bans {
			if b.Until > now.Unix() {
				after.add(p, b)
			}
		}
	}
	return after
}

func (d *decisions) add(p netip.Prefix, b ban) {
	if b.ID != 0 {
		d.drop(b.ID)
		d.where[b.ID] = p
	}
	bans, _ := d.table.Get(p)
	d.table.Insert(p, append(slices.Clone(bans), b))
}

// remove takes away the one decision that LAPI names, and leaves the others on the same address.
func (d *decisions) remove(x *models.Decision) {
	if x == nil {
		return
	}
	if x.ID != 0 {
		d.drop(x.ID)
		return
	}
	if p, ok := prefix(x); ok { // an answer without ids can only mean the whole address
		bans, _ := d.table.Get(p)
		for _, b := range bans {
			delete(d.where, b.ID)
		}
		d.table.Delete(p)
	}
}

func (d *decisions) drop(id int64) {
	p, ok := d.where[id]
	if !ok {
		return
	}
	delete(d.where, id)
	bans, _ := d.table.Get(p)
	left := slices.DeleteFunc(slices.Clone(bans), func(b ban) bool { return b.ID == id })
	if len(left) == 0 {
		d.table.Delete(p)
		return
	}
	d.table.Insert(p, left)
}

// size counts decisions, not addresses.
func (d *decisions) size() int {
	n := 0
	for _, bans := range d.table.All() {
		n += len(bans)
	}
	return n
}

// parse reads one decision. Its end is kept in our own time: the ban ends by itself when LAPI never says so.
func parse(x *models.Decision, now time.Time) (netip.Prefix, ban, bool) {
	if x == nil || x.Type == nil || !strings.EqualFold(*x.Type, "ban") || x.Duration == nil {
		return netip.Prefix{}, ban{}, false
	}
	left, err := time.ParseDuration(*x.Duration)
	if err != nil || left <= 0 {
		return netip.Prefix{}, ban{}, false
	}
	p, ok := prefix(x)
	return p, ban{ID: x.ID, Until: now.Add(left).Unix()}, ok
}

func prefix(x *models.Decision) (netip.Prefix, bool) {
	if x.Value == nil {
		return netip.Prefix{}, false
	}
	return parsePrefix(*x.Value)
}

// parsePrefix reads an address or a range. An IPv4 address written as IPv6 (::ffff:a.b.c.d) is the IPv4 address.
func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), true
}
