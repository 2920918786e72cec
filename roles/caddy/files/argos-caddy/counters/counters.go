// Package counters shows what the handlers count, on Caddy's admin socket: GET /argos/waf, /argos/crowdsec and
// /argos/rate_limit.
// `argos doctor` reads them.
package counters

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(AdminAPI{}) }

var (
	mu      sync.RWMutex
	sources = map[string]func() any{}
)

// Publish makes /argos/<name> answer with read's value as JSON. read must not block.
func Publish(name string, read func() any) {
	mu.Lock()
	defer mu.Unlock()
	sources[name] = read
}

// AdminAPI is the module admin.api.argos.
type AdminAPI struct{}

// CaddyModule names the module.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.argos", New: func() caddy.Module { return new(AdminAPI) }}
}

// Routes answers for every published source below /argos/.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/argos/", Handler: caddy.AdminHandlerFunc(serve)}}
}

func serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("%s: only GET is answered here", r.Method)}
	}
	mu.RLock()
	read, ok := sources[r.URL.Path[len("/argos/"):]]
	mu.RUnlock()
	if !ok {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("%s: want /argos/waf, /argos/crowdsec or /argos/rate_limit", r.URL.Path)}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(read())
}

var _ caddy.AdminRouter = AdminAPI{}
