package waf

import (
	"runtime"

	"github.com/caddyserver/caddy/v2"
)

// sharesByHost holds each host's shares, over reloads too, so that a reload is no way round them.
var sharesByHost = caddy.NewUsagePool()

// shares are what one host may take of the engine at once, so that a flood on it leaves the processor's other half, and
// the places in its queue, to the others (ING-8). Requests without a body have turns of their own: a body takes as long
// as some hundred of them.
type shares struct{ requests, bodies chan struct{} }

func sharesOf(host string) *shares {
	v, _, _ := sharesByHost.LoadOrNew(host, func() (caddy.Destructor, error) {
		n := max(1, runtime.GOMAXPROCS(0))
		return &shares{requests: make(chan struct{}, n), bodies: make(chan struct{}, n)}, nil
	})
	return v.(*shares)
}

// Destruct has nothing to give back.
func (*shares) Destruct() error { return nil }
