package hosts

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(Slots{}) }

// Slots bounds how many requests to one host are under way at once, so that a flood on it leaves the others alone
// (ING-8): the next one gets 503 at once, and waits in no queue. A WebSocket holds a slot while it lasts.
type Slots struct {
	// Whose requests are counted together; the count outlives a reload.
	Host string `json:"host"`
	// How many may be under way, at least 1.
	Limit int64 `json:"limit"`
	// How many of them one client may have, an IPv4 address or an IPv6 /64; 0: all. A client that sends slowly costs
	// itself nothing, and would hold them all.
	PerClient int `json:"per_client,omitempty"`

	underWay *count
}

type count struct {
	atomic.Int64

	mu      sync.Mutex
	clients map[netip.Prefix]int // those with a request under way
}

// enter counts one more request of client, unless it has as many as it may.
func (c *count) enter(client netip.Prefix, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients[client] >= most {
		return false
	}
	if c.clients == nil {
		c.clients = map[netip.Prefix]int{}
	}
	c.clients[client]++
	return true
}

func (c *count) leave(client netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients[client]--; c.clients[client] == 0 {
		delete(c.clients, client)
	}
}

// clientOf is whom a request is counted for; requests without a client's address are counted together.
func clientOf(r *http.Request) netip.Prefix {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	if address = address.Unmap().WithZone(""); address.Is4() {
		bits = 32
	}
	network, _ := address.Prefix(bits) // of an address without a zone it cannot fail
	return network
}

// Destruct has nothing to let go of.
func (*count) Destruct() error { return nil }

var counts = caddy.NewUsagePool()

var errFull = errors.New("the host has as many requests under way as it may")

// CaddyModule names the module.
func (Slots) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.host_slots", New: func() caddy.Module { return new(Slots) }}
}

// Provision finds the host's count, that of the configuration before among them.
func (s *Slots) Provision(caddy.Context) error {
	if s.Limit < 1 || s.Host == "" || s.PerClient < 0 {
		return errors.New("host_slots: needs a host, a limit of 1 or more, and none below 0 for a client")
	}
	value, _, err := counts.LoadOrNew(s.Host, func() (caddy.Destructor, error) { return new(count), nil })
	if err != nil {
		return err
	}
	s.underWay = value.(*count)
	return nil
}

// Cleanup lets go of the count.
func (s *Slots) Cleanup() error {
	if s.underWay == nil {
		return nil
	}
	_, err := counts.Delete(s.Host)
	return err
}

// ServeHTTP takes a slot, or says 503.
func (s *Slots) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if s.PerClient > 0 {
		client := clientOf(r)
		if !s.underWay.enter(client, s.PerClient) {
			return full(w)
		}
		defer s.underWay.leave(client)
	}
	defer s.underWay.Add(-1)
	if s.underWay.Add(1) > s.Limit {
		return full(w)
	}
	return next.ServeHTTP(w, r)
}

func full(w http.ResponseWriter) error {
	w.Header().Set("Retry-After", "5")
	return caddyhttp.Error(http.StatusServiceUnavailable, errFull)
}

var (
	_ caddy.Provisioner           = (*Slots)(nil)
	_ caddy.CleanerUpper          = (*Slots)(nil)
	_ caddyhttp.MiddlewareHandler = (*Slots)(nil)
)
