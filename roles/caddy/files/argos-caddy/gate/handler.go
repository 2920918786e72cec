// Package gate is http.handlers.ask_gate: it asks Argos's gate whether a request may go on, over HTTP/1.1 on the gate's
// unix socket, and goes on only on a clear yes (FWD-3). Caddy's reverse_proxy could ask as well, and did: it copies the
// whole request for that, and costs three times as much.
package gate

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(Handler{}) }

// hostVariable holds the host's name, which the host's own route sets.
const hostVariable = "argos_host"

// The variables that argos/edge/proxying.py reads: who passed.
var identityVariables = [...]string{"argos_user", "argos_email", "argos_name", "argos_provider"}

// Handler asks the gate at a socket. It neither reads the request's body nor changes the request.
type Handler struct {
	// The path of the gate's unix socket.
	Socket string `json:"socket"`
	// Anonymous lets pass whom the gate lets pass as nobody: the host has public paths (AUT-2). Else such an answer is
	// none.
	Anonymous bool `json:"anonymous,omitempty"`

	links *pool
}

// Connections outlive a reload, and the servers share them: a reload under load need not dial anew.
var pools = caddy.NewUsagePool()

// CaddyModule names the module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.ask_gate", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the socket's connections.
func (h *Handler) Provision(caddy.Context) error {
	if h.Socket == "" {
		return errors.New("ask_gate: needs the path of the gate's socket")
	}
	value, _, err := pools.LoadOrNew(h.Socket, func() (caddy.Destructor, error) { return &pool{socket: h.Socket}, nil })
	if err != nil {
		return err
	}
	h.links = value.(*pool)
	return nil
}

// Cleanup lets go of the connections.
func (h *Handler) Cleanup() error {
	if h.links == nil {
		return nil
	}
	_, err := pools.Delete(h.Socket)
	return err
}

// ServeHTTP hands on whom the gate lets in, answers as the gate said whom it does not, and gives an error for all else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	said, err := h.links.ask(r, vars)
	if err != nil {
		return failed(w, r, err)
	}
	if said.status != http.StatusOK {
		return deny(w, said)
	}
	if said.anonymous && !h.Anonymous {
		return failed(w, r, errAnonymous)
	}
	for i, name := range identityVariables {
		vars[name] = said.identity[i]
	}
	return next.ServeHTTP(w, r)
}

var errAnonymous = errors.New("the gate let nobody pass, on a host without public paths")

// failed gives the statuses that reverse_proxy gave: 499 for a client that went away, 504 for a gate that says nothing.
func failed(w http.ResponseWriter, r *http.Request, err error) error {
	if r.Context().Err() != nil {
		w.WriteHeader(499)
		return nil
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return caddyhttp.Error(http.StatusGatewayTimeout, err)
	}
	return caddyhttp.Error(http.StatusBadGateway, err)
}

// deny hands the gate's answer on, as a proxy does: with Via in the place of Server.
func deny(w http.ResponseWriter, said answer) error {
	header := w.Header()
	delete(header, "Server")
	header["Via"] = append(header["Via"], "1.1 Caddy")
	for name, values := range said.header {
		header[name] = append(header[name], values...)
	}
	w.WriteHeader(said.status)
	_, _ = w.Write(said.body) // a client that no longer reads is no error of ours
	return nil
}

const (
	dialTimeout   = 2 * time.Second
	answerTimeout = 5 * time.Second
)

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
