// Package waf is Coraza with the embedded OWASP Core Rule Set: the app "waf" holds the policies, http.handlers.waf puts
// one in front of a host.
package waf

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() { caddy.RegisterModule(new(Handler)) }

const (
	defaultBodyLimit = 64 << 10
	maxBodyLimit     = 16 << 20 // well below the policy's own SecRequestBodyLimit
)

// Handler links one host to a policy.
type Handler struct {
	// Policy is the name of a policy of the app "waf".
	Policy string `json:"policy"`
	// HostID is the host resource's name in the event log.
	HostID string `json:"host_id,omitempty"`
	// GRPC declares that the host speaks gRPC: request bodies of type application/grpc are not inspected.
	GRPC bool `json:"grpc,omitempty"`
	// Exclusions hold for this host alone.
	Exclusions []Exclusion `json:"exclusions,omitempty"`

	policy   *Policy
	engine   *engine
	excluded []exclusion // the policy's and the host's own
	shares   *shares
	journal  *journal
	log      *zap.Logger
}

// CaddyModule names the module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.waf", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the policy.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := ctx.App("waf")
	if err != nil {
		return err
	}
	h.log = ctx.Logger()
	return h.attach(app.(*App))
}

func (h *Handler) attach(app *App) error {
	policy := app.Policies[h.Policy]
	if policy == nil {
		return fmt.Errorf("waf of host %q: there is no policy %q", h.HostID, h.Policy)
	}
	own, err := resolve(h.Exclusions, policy.engine)
	if err != nil {
		return fmt.Errorf("waf policy %q of host %q: %w", h.Policy, h.HostID, err)
	}
	h.policy, h.engine, h.journal = policy, policy.engine, app.journal
	h.excluded = append(own, policy.excluded...)
	h.shares = sharesOf(h.HostID)
	return nil
}

// Cleanup gives back what Provision took.
func (h *Handler) Cleanup() error {
	if h.shares != nil {
		_, _ = sharesByHost.Delete(h.HostID)
	}
	return nil
}

// ServeHTTP inspects the request, then lets it pass or refuses it with a caddyhttp.HandlerError.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.engine.mode == "off" {
		return next.ServeHTTP(w, r)
	}
	in := h.begin(r)
	defer in.end()
	if err := in.guard(in.request); err != nil {
		return err
	}
	if h.policy.Response {
		return in.answer(w, next)
	}
	in.end() // a WebSocket may live for days: it must not hold the transaction
	err := next.ServeHTTP(w, r)
	if late := in.late.Load(); late != nil {
		return *late
	}
	return err
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
