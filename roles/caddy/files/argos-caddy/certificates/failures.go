package certificates

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

func init() { caddy.RegisterModule(Recorder{}) }

const (
	failuresKept = 5000
	reasonLimit  = 2000 // bytes
)

// failure is why a certificate was last not had.
type failure struct {
	Error    string    `json:"error"`
	FailedAt time.Time `json:"failed_at"`
}

var (
	failuresMu sync.Mutex
	failures   = map[string]failure{} // over reloads
)

// Recorder is the module events.handlers.argos_certificates. It remembers the last failure for each name until the next
// success. A reason may quote a provider's credential: whoever shows it scrubs it.
type Recorder struct{}

// CaddyModule names the module.
func (Recorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.argos_certificates", New: func() caddy.Module { return new(Recorder) }}
}

// Handle takes cert_failed and cert_obtained. It never stops what the event tells of.
func (Recorder) Handle(_ context.Context, event caddy.Event) error {
	name, _ := event.Data["identifier"].(string)
	failuresMu.Lock()
	defer failuresMu.Unlock()
	switch event.Name() {
	case "cert_obtained":
		delete(failures, name)
	case "cert_failed":
		if _, known := failures[name]; !known && len(failures) >= failuresKept {
			return nil
		}
		reason := fmt.Sprint(event.Data["error"])
		failures[name] = failure{reason[:min(len(reason), reasonLimit)], time.Now().UTC()}
	}
	return nil
}

func failureOf(name string) *failure {
	failuresMu.Lock()
	defer failuresMu.Unlock()
	if found, ok := failures[name]; ok {
		return &found
	}
	return nil
}

var _ caddyevents.Handler = Recorder{}
