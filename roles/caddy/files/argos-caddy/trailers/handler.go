// Package trailers is http.handlers.drop_trailers: no trailer field of a client reaches an upstream.
package trailers

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(Handler{}) }

// Handler drops request trailers (RFC 9110 §6.5). Caddy's own header operations do not see them, its reverse_proxy
// passes them on, and an upstream may merge them into the headers: a client's X-Auth-User would arrive that way (FWD-1).
type Handler struct{}

// CaddyModule names the module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.drop_trailers", New: func() caddy.Module { return new(Handler) }}
}

// ServeHTTP hands on a copy of the request without trailers. net/http puts what the body's end brings into the request
// it made itself, so a copy stays without.
func (Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Body == nil || r.Body == http.NoBody {
		return next.ServeHTTP(w, r)
	}
	without := *r
	without.Trailer = nil
	return next.ServeHTTP(w, &without)
}

var _ caddyhttp.MiddlewareHandler = Handler{}
