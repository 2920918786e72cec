// Package waf is http.handlers.waf: Coraza with the embedded OWASP Core Rule Set in front of a host.
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

// Handler links one host to a policy. Hosts with the same policy text share one engine.
type Handler struct {
	// Policy is SecLang text with its own SecRuleEngine line: On blocks, DetectionOnly logs.
	Policy string `json:"policy"`
	// Name is the policy's name in the event log.
	Name string `json:"name,omitempty"`
	// HostID is the host resource's name in the event log.
	HostID string `json:"host_id,omitempty"`
	// Response also runs phases 3 and 4, on the upstream's answer. WebSocket and SSE still pass unbuffered.
	Response bool `json:"response,omitempty"`
	// GRPC declares that the host speaks gRPC: request bodies of type application/grpc are not inspected.
	GRPC bool `json:"grpc,omitempty"`
	// BodyLimit is the most of a body, in bytes, that is inspected (default 64 KiB). What is longer is answered 413 in
	// block and passes, logged, in detect. Content of file parts, and types the policy does not inspect, do not count.
	BodyLimit int64 `json:"body_limit,omitempty"`
	// Inspections is how many bodies the process inspects at once (default twice the cores, at least 2).
	Inspections int `json:"inspections,omitempty"`
	// AuditLog is the path of the event log; empty: no events are written.
	AuditLog string `json:"audit_log,omitempty"`

	key     *policyKey
	engine  *engine
	slots   slots
	journal *journal
	log     *zap.Logger
}

// CaddyModule names the module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.waf", New: func() caddy.Module { return new(Handler) }}
}

// Provision compiles the policy. It opens no file: `caddy validate` runs it too.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	if h.BodyLimit == 0 {
		h.BodyLimit = defaultBodyLimit
	}
	if h.BodyLimit < 0 || h.BodyLimit > maxBodyLimit {
		return fmt.Errorf("waf of host %q: body_limit is %d; want 1 to %d bytes", h.HostID, h.BodyLimit, maxBodyLimit)
	}
	key, engine, err := loadEngine(h.Policy)
	if err != nil {
		return fmt.Errorf("waf policy %q of host %q: %w", h.Name, h.HostID, err)
	}
	h.key, h.engine = &key, engine
	h.slots = sharedSlots(h.Inspections)
	if h.AuditLog != "" {
		h.journal = openJournal(h.AuditLog, h.log)
	}
	return nil
}

// Cleanup gives back what Provision took, also when Provision failed half-way.
func (h *Handler) Cleanup() error {
	if h.key != nil {
		_, _ = engines.Delete(*h.key)
	}
	if h.journal != nil {
		_, _ = journals.Delete(h.AuditLog)
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
	if h.Response {
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
