package crowdsec

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gaissmai/bart"
)

func init() { caddy.RegisterModule(new(Handler)) }

var errBanned = errors.New("crowdsec: the client's address is banned")

// Handler refuses banned clients with 403. It belongs first on every server, the one on port 80 too (ING-3).
type Handler struct {
	bouncer *bouncer
	allowed *bart.Lite
}

// CaddyModule names the module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.crowdsec", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the app.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := ctx.App("crowdsec")
	if err != nil {
		return err
	}
	a := app.(*App)
	h.bouncer, h.allowed = a.bouncer, a.allowed
	return nil
}

// ServeHTTP asks the table about client_ip, the one address that Caddy decided on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if ip, err := netip.ParseAddr(client); err == nil {
		// The whitelist is asked of the banned alone: everybody else pays for one lookup.
		if ip = ip.Unmap().WithZone(""); h.bouncer.banned(ip) && !h.allowed.Contains(ip) {
			refused.Add(1)
			return caddyhttp.Error(http.StatusForbidden, errBanned)
		}
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
