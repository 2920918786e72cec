package hosts

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(Slash{}) }

// Slash redirects GET and HEAD requests to the path with, or without, a slash at its end. Caddy's own redirects could
// not: their placeholders give the path decoded, and a request for "//elsewhere.example" would be sent there.
type Slash struct {
	// "add" (not after a last segment with a dot, which names a file) or "remove".
	Mode string `json:"mode"`
}

// CaddyModule names the module.
func (Slash) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.trailing_slash", New: func() caddy.Module { return new(Slash) }}
}

// Validate refuses other modes.
func (s *Slash) Validate() error {
	if s.Mode != "add" && s.Mode != "remove" {
		return fmt.Errorf("trailing_slash: mode %q is neither add nor remove", s.Mode)
	}
	return nil
}

// ServeHTTP answers 308, or hands on a path that is spelled as it should be.
func (s *Slash) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return next.ServeHTTP(w, r)
	}
	path := r.URL.EscapedPath()
	wanted := s.spelled(path)
	if wanted == path {
		return next.ServeHTTP(w, r)
	}
	// One slash at the beginning: "//elsewhere.example/" is another host's address (RFC 3986 §4.2).
	location := "/" + strings.TrimLeft(wanted, "/")
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

func (s *Slash) spelled(path string) string {
	if !strings.HasPrefix(path, "/") || path == "/" {
		return path
	}
	if s.Mode == "remove" {
		if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
			return trimmed
		}
		return "/"
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	if last == "" || strings.Contains(last, ".") {
		return path
	}
	return path + "/"
}

var (
	_ caddy.Validator             = (*Slash)(nil)
	_ caddyhttp.MiddlewareHandler = (*Slash)(nil)
)
