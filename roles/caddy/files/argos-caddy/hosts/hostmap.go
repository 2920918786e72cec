// Package hosts holds what a published host needs beyond Caddy's own handlers: http.handlers.host_map finds it among
// many, host_answer keeps what an upstream must not say, host_slots bounds how much of the edge one host may take, and
// trailing_slash redirects to one spelling of a path.
package hosts

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(HostMap{}) }

// HostMap runs the routes of the host that a request names. Caddy tries a list of routes with host matchers one by one;
// here the last of a thousand hosts is found as fast as the first.
type HostMap struct {
	// The routes of each name, in lower case. "*.example.com" stands for any one label before ".example.com", and
	// yields to a name of its own. A request for another name goes on to the next handler.
	Hosts map[string]caddyhttp.RouteList `json:"hosts,omitempty"`
}

// CaddyModule names the module.
func (HostMap) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.host_map", New: func() caddy.Module { return new(HostMap) }}
}

// Provision sets the routes up.
func (m *HostMap) Provision(ctx caddy.Context) error {
	for name, routes := range m.Hosts {
		if name == "" || name != strings.ToLower(name) {
			return fmt.Errorf("host_map: %q is no host name in lower case", name)
		}
		if err := routes.Provision(ctx); err != nil {
			return fmt.Errorf("host %q: %v", name, err)
		}
		runtime.Gosched() // PERF: on one core, who is asking would wait for 10 ms of a load at a time
	}
	return nil
}

var errNoPath = errors.New("the request's target is no path")

// ServeHTTP runs the host's routes, and no handler after this one when there are any. A target like "x:.evil.example",
// which Go takes for an opaque URL, is refused: behind "https://home.example" it would name another host. So is a tunnel.
func (m *HostMap) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Opaque != "" {
		return caddyhttp.Error(http.StatusBadRequest, errNoPath)
	}
	if err := refuseTunnels(r); err != nil {
		return caddyhttp.Error(http.StatusMethodNotAllowed, err)
	}
	routes, found := m.find(r.Host)
	if !found {
		return next.ServeHTTP(w, r)
	}
	return routes.Compile(nothing).ServeHTTP(w, r)
}

var nothing = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

func (m *HostMap) find(host string) (caddyhttp.RouteList, bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	if routes, found := m.Hosts[host]; found {
		return routes, true
	}
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		routes, found := m.Hosts["*"+host[dot:]]
		return routes, found
	}
	return nil, false
}

var (
	_ caddy.Provisioner           = (*HostMap)(nil)
	_ caddyhttp.MiddlewareHandler = (*HostMap)(nil)
)
