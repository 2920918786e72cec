package waf

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(new(App)) }

// App is the Caddy app "waf": each policy stands in the configuration once, however many hosts share it.
type App struct {
	// AuditLog is the path of the event log; empty: no events are written.
	AuditLog string `json:"audit_log,omitempty"`
	// Policies by the name that handlers use and the event log shows.
	Policies map[string]*Policy `json:"policies,omitempty"`

	journal *journal
}

// Policy is what is inspected, how strictly, and at what cost.
type Policy struct {
	// Rules is SecLang text with its own SecRuleEngine line: On blocks, DetectionOnly logs. Policies with the same text
	// share one engine.
	Rules string `json:"rules"`
	// For names the host whose own policy this is, so that a refusal names it too.
	For string `json:"for,omitempty"`
	// Response also runs phases 3 and 4, on the upstream's answer. WebSocket and SSE still pass unbuffered.
	Response bool `json:"response,omitempty"`
	// BodyLimit is the most of a body, in bytes, that is inspected (default 64 KiB). What is longer is answered 413 in
	// block and passes, logged, in detect. Content of file parts, and types the policy does not inspect, do not count.
	BodyLimit int64 `json:"body_limit,omitempty"`
	// Inspections is how many bodies are inspected at once under this policy, out of the process's own limit (twice the
	// cores, at least 2); 0: no limit of its own.
	Inspections int `json:"inspections,omitempty"`
	// Exclusions hold for every host of the policy.
	Exclusions []Exclusion `json:"exclusions,omitempty"`

	name     string
	key      *policyKey
	engine   *engine
	slots    slots
	excluded []exclusion
}

// CaddyModule names the module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "waf", New: func() caddy.Module { return new(App) }}
}

// Provision compiles every policy, also one that no host uses yet. It opens no file: `caddy validate` runs it too.
func (a *App) Provision(ctx caddy.Context) error {
	for name, p := range a.Policies {
		if p == nil {
			return fmt.Errorf("waf policy %q is null", name)
		}
		if err := p.provision(name); err != nil {
			if p.For != "" {
				return fmt.Errorf("waf policy %q of host %q: %w", name, p.For, err)
			}
			return fmt.Errorf("waf policy %q: %w", name, err)
		}
	}
	if a.AuditLog != "" {
		a.journal = openJournal(a.AuditLog, ctx.Logger())
	}
	return nil
}

func (p *Policy) provision(name string) error {
	p.name = name
	if p.BodyLimit == 0 {
		p.BodyLimit = defaultBodyLimit
	}
	if p.BodyLimit < 0 || p.BodyLimit > maxBodyLimit {
		return fmt.Errorf("body_limit is %d; want 1 to %d bytes", p.BodyLimit, maxBodyLimit)
	}
	if p.Inspections < 0 {
		return fmt.Errorf("inspections is %d; want 0 or more", p.Inspections)
	}
	key, engine, err := loadEngine(p.Rules)
	if err != nil {
		return err
	}
	p.key, p.engine = &key, engine
	p.slots = slotsOf(name, p.Inspections)
	p.excluded, err = resolve(p.Exclusions, engine)
	return err
}

// Start tidies up after the load; policies serve as soon as they are compiled.
func (*App) Start() error {
	tidySoon()
	return nil
}

// Stop does nothing: Cleanup gives back what Provision took.
func (*App) Stop() error { return nil }

const settled = time.Second

// tidying is at most one at a time, after the last of several reloads.
var tidying struct {
	sync.Mutex
	timer *time.Timer
}

// tidySoon gives memory back to the system once a load has settled. What was decoded is garbage then, and so is the former
// configuration: of a thousand hosts some 100 MB each. Left to the collector's pace the process would keep the peak for good.
func tidySoon() {
	tidying.Lock()
	defer tidying.Unlock()
	if tidying.timer != nil {
		tidying.timer.Stop()
	}
	tidying.timer = time.AfterFunc(settled, debug.FreeOSMemory)
}

// Cleanup gives back what Provision took, also when Provision failed half-way.
func (a *App) Cleanup() error {
	tidySoon()
	for _, p := range a.Policies {
		if p != nil && p.key != nil {
			_, _ = engines.Delete(*p.key)
		}
	}
	if a.journal != nil {
		_, _ = journals.Delete(a.AuditLog)
	}
	return nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
