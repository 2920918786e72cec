package crowdsec

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/models"
	"github.com/gaissmai/bart"
)

// The table's bounds (DAT-4). What does not find room is left out and counted, and asked for again later; what stands
// stays until it ends or LAPI takes it back. Nothing that comes later drives a ban out, so a flood cannot lift one. Bans
// of shared lists, by far the most, may take only their part: an operator's ban and a scenario's find room beside them.
const (
	mostBans   = 250_000
	mostShared = mostBans / 10 * 9
	checkEvery = 1024 // decisions between two looks at whether anybody still wants the table
)

// ban is one decision. An address or a range may have several: from a scenario, from a list, from an operator.
type ban struct {
	ID     int64 `json:"id"`
	Until  int64 `json:"until"`            // Unix seconds
	Shared bool  `json:"shared,omitempty"` // of a list that others keep: the community's, a subscription's
	at     netip.Prefix
}

// key is what a decision is known by: its id, or its place when LAPI gives it none.
type key struct {
	id int64
	at netip.Prefix
}

func (b ban) key() key {
	if b.ID != 0 {
		return key{id: b.ID}
	}
	return key{at: b.at}
}

// decisions is an immutable table from address or range to its bans. Lookups take no lock; changes make a new table.
type decisions struct {
	bans    map[key]ban
	shared  int                // how many of them are of shared lists
	until   *bart.Table[int64] // when the last ban at a place ends: all that a request needs to know
	soonest int64              // Unix seconds: when the first of them ends
	// leftOut counts bans that found no room since LAPI last told everything.
	leftOut int
}

func noDecisions() *decisions {
	return &decisions{bans: map[key]ban{}, until: new(bart.Table[int64]), soonest: math.MaxInt64}
}

// banned tells whether any ban of the address itself or of a range around it is still in force.
func (d *decisions) banned(ip netip.Addr, now time.Time) bool {
	until, ok := d.until.Lookup(ip)
	if !ok {
		return false
	}
	if until > now.Unix() {
		return true
	}
	for _, until := range d.until.Supernets(netip.PrefixFrom(ip, ip.BitLen())) { // rare: the longest match has expired
		if until > now.Unix() {
			return true
		}
	}
	return false
}

// changed returns the table after one answer of LAPI. full answers hold everything: what they do not name is gone.
// ignored counts what is no ban of an address or range (captchas, scopes like country), or of one too wide. It takes time in proportion to
// the table and the answer, whatever the answer says, and ends early with ctx.
func (d *decisions) changed(ctx context.Context, answer *models.DecisionsStreamResponse, full bool, now time.Time) (after *decisions, ignored int, err error) {
	if !full && len(answer.New)+len(answer.Deleted) == 0 && d.soonest > now.Unix() {
		return d, 0, nil // PERF: nearly every answer
	}
	step := stepper{ctx: ctx}
	after = noDecisions()
	if !full {
		after.leftOut = d.leftOut
		gone := taken(answer.Deleted)
		for k, b := range d.bans {
			if b.Until > now.Unix() && !gone[k] && !gone[key{at: b.at}] {
				after.add(b)
			}
			if step.stop() {
				return d, 0, ctx.Err()
			}
		}
	}
	var fresh []ban
	for _, x := range answer.New {
		b, ok := parse(x, now)
		_, held := d.bans[b.key()]
		switch {
		case !ok:
			ignored++
		case held: // what stands has its place before what is new
			after.add(b)
		default:
			fresh = append(fresh, b)
		}
		if step.stop() {
			return d, 0, ctx.Err()
		}
	}
	for _, b := range fresh {
		after.add(b)
		if step.stop() {
			return d, 0, ctx.Err()
		}
	}
	if err := after.index(&step); err != nil {
		return d, 0, err
	}
	return after, ignored, nil
}

// taken is what LAPI takes back: single decisions, and whole places where it names no id.
func taken(deleted []*models.Decision) map[key]bool {
	gone := make(map[key]bool, len(deleted))
	for _, x := range deleted {
		if x == nil {
			continue
		}
		if x.ID != 0 {
			gone[key{id: x.ID}] = true
		} else if p, ok := prefix(x); ok {
			gone[key{at: p}] = true
		}
	}
	return gone
}

// add holds a ban, unless there is no room. One that is held already is replaced.
func (d *decisions) add(b ban) {
	k := b.key()
	was, held := d.bans[k]
	switch {
	case held:
		b.Shared = was.Shared
		if b.ID == 0 { // several without an id at one place: the last to end stands for all
			b.Until = max(b.Until, was.Until)
		}
	case len(d.bans) >= mostBans, b.Shared && d.shared >= mostShared:
		d.leftOut++
		return
	case b.Shared:
		d.shared++
	}
	d.bans[k] = b
}

// index makes the table that requests are looked up in.
func (d *decisions) index(step *stepper) error {
	d.until, d.soonest = new(bart.Table[int64]), math.MaxInt64
	for _, b := range d.bans {
		d.soonest = min(d.soonest, b.Until)
		d.until.Modify(b.at, func(until int64, _ bool) (int64, bool) { return max(until, b.Until), false })
		if step.stop() {
			return step.ctx.Err()
		}
	}
	return nil
}

// size counts decisions, not addresses.
func (d *decisions) size() int { return len(d.bans) }

// stepper looks now and then whether the work is still wanted.
type stepper struct {
	ctx  context.Context
	done int
}

func (s *stepper) stop() bool {
	s.done++
	return s.done%checkEvery == 0 && s.ctx.Err() != nil
}

// parse reads one decision. Its end is kept in our own time: the ban ends by itself when LAPI never says so.
func parse(x *models.Decision, now time.Time) (ban, bool) {
	if x == nil || x.Type == nil || !strings.EqualFold(*x.Type, "ban") || x.Duration == nil {
		return ban{}, false
	}
	left, err := time.ParseDuration(*x.Duration)
	if err != nil || left <= 0 {
		return ban{}, false
	}
	p, ok := prefix(x)
	if ok && tooWide(p) {
		ok = false
	}
	return ban{ID: x.ID, Until: now.Add(left).Unix(), Shared: isShared(x), at: p}, ok
}

// tooWide tells of a range that can only be a mistake: a list that holds 0.0.0.0/0 would shut everybody out (DEP-4). The
// runtime makes none so wide either.
func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 16
}

// isShared goes by the origin, as LAPI gives it: CAPI is the community's list, lists:NAME one that is subscribed to.
// What has no origin, or one unknown here, counts as made here.
func isShared(x *models.Decision) bool {
	if x.Origin == nil {
		return false
	}
	origin := strings.ToLower(*x.Origin)
	return origin == "capi" || origin == "lists" || strings.HasPrefix(origin, "lists:")
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
