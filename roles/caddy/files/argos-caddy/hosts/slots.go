package hosts

import (
	"errors"
	"net/http"
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

	underWay *count
}

type count struct{ atomic.Int64 }

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
	if s.Limit < 1 || s.Host == "" {
		return errors.New("host_slots: needs a host and a limit of 1 or more")
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
	defer s.underWay.Add(-1)
	if s.underWay.Add(1) > s.Limit {
		w.Header().Set("Retry-After", "5")
		return caddyhttp.Error(http.StatusServiceUnavailable, errFull)
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*Slots)(nil)
	_ caddy.CleanerUpper          = (*Slots)(nil)
	_ caddyhttp.MiddlewareHandler = (*Slots)(nil)
)
