package crowdsec

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// testLAPI speaks LAPI's stream protocol as 1.4.6 and 1.7 do: all decisions at startup, else what came and went since
// the same key last asked; durations relative to now; a deleted one with a negative duration.
type testLAPI struct {
	*httptest.Server
	mu     sync.Mutex
	key    string
	next   int64
	all    map[int64]map[string]any
	added  []int64
	gone   []map[string]any
	polls  []string         // raw queries
	broken http.HandlerFunc // answers instead
}

func newTestLAPI(t *testing.T) *testLAPI {
	l := &testLAPI{key: "right", all: map[int64]map[string]any{}}
	l.Server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.Close)
	return l
}

func (l *testLAPI) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.polls = append(l.polls, r.URL.RawQuery)
	if l.broken != nil {
		l.broken(w, r)
		return
	}
	if r.URL.Path != "/v1/decisions/stream" {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("X-Api-Key") != l.key {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"message":"access forbidden"}`))
		return
	}
	var fresh []map[string]any
	if r.URL.Query().Get("startup") == "true" {
		for _, d := range l.all {
			fresh = append(fresh, d)
		}
	} else {
		for _, id := range l.added {
			if d, ok := l.all[id]; ok {
				fresh = append(fresh, d)
			}
		}
	}
	gone := l.gone
	l.added, l.gone = nil, nil
	_ = json.NewEncoder(w).Encode(map[string]any{"new": fresh, "deleted": gone})
}

// ban adds a decision and returns its id.
func (l *testLAPI) ban(value, duration string) int64 { return l.decide(value, duration, "ban") }

func (l *testLAPI) decide(value, duration, kind string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	scope := "Ip"
	if strings.Contains(value, "/") {
		scope = "Range"
	}
	l.all[l.next] = map[string]any{"id": l.next, "type": kind, "scope": scope, "value": value, "duration": duration,
		"origin": "cscli", "scenario": "manual"}
	l.added = append(l.added, l.next)
	return l.next
}

func (l *testLAPI) unban(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.all[id]
	delete(l.all, id)
	d["duration"] = "-1.5s"
	l.gone = append(l.gone, d)
}

func (l *testLAPI) breakWith(h http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = h
}

func (l *testLAPI) queries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.polls...)
}

// loaded is one loaded configuration: the app and the handler, as Caddy provisions them.
type loaded struct {
	app     *App
	handler *Handler
	close   func()
}

// provision does what `caddy validate` does.
func provision(t *testing.T, config map[string]any) (*loaded, error) {
	t.Helper()
	raw, _ := json.Marshal(config)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	var app App
	if err := json.Unmarshal(raw, &app); err != nil {
		t.Fatal(err)
	}
	if err := app.Provision(ctx); err != nil {
		_ = app.Cleanup()
		cancel()
		return nil, err
	}
	var once sync.Once
	l := &loaded{app: &app, handler: &Handler{bouncer: app.bouncer, allowed: app.allowed}}
	l.close = func() {
		once.Do(func() {
			if err := app.Cleanup(); err != nil {
				t.Error(err)
			}
			cancel()
		})
	}
	t.Cleanup(l.close)
	return l, nil
}

// start loads a configuration that polls every second, the shortest that is allowed.
func start(t *testing.T, url, key, stateFile string) *loaded {
	t.Helper()
	l, err := provision(t, map[string]any{"api_url": url, "api_key": key, "interval": "1s", "state_file": stateFile})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.app.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// status is what a client at the address is answered.
func (l *loaded) status(address string) int {
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: address}))
	err := l.handler.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
	if handled, ok := err.(caddyhttp.HandlerError); ok {
		return handled.StatusCode
	}
	if err != nil {
		return -1
	}
	return 200
}

// eventually waits for want at the address.
func (l *loaded) eventually(t *testing.T, address string, want int) {
	t.Helper()
	within(t, fmt.Sprintf("%s answered %d", address, want), func() bool { return l.status(address) == want })
}

// patience is for a busy machine under the race detector; nobody waits it where all goes well.
const patience = 5 * time.Minute

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
