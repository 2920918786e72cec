package ratelimit

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func provisioned(t *testing.T, config string) *Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	h := new(Handler)
	if err := json.Unmarshal([]byte(config), h); err != nil {
		t.Fatal(err)
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

// status is what one request gets, and its Retry-After.
func status(t *testing.T, h *Handler, path, key string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("X-Key", key)
	w := httptest.NewRecorder()
	replacer := caddyhttp.NewTestReplacer(r)
	r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, replacer))
	replacer.Set("key", key)
	err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
	var refused caddyhttp.HandlerError
	if errors.As(err, &refused) {
		return refused.StatusCode, w.Header().Get("Retry-After")
	}
	if err != nil {
		t.Fatal(err)
	}
	return http.StatusOK, w.Header().Get("Retry-After")
}

func TestEachKeyHasItsOwnAndTheNextOneIsToldWhen(t *testing.T) {
	h := provisioned(t, `{"rate_limits": {"each": {"key": "{key}", "max_events": 2, "window": "30s"}}}`)
	defer func() { _ = h.Cleanup() }()
	for _, want := range []int{200, 200, 429, 429} {
		got, after := status(t, h, "/", "a")
		if got != want {
			t.Errorf("%d, not %d", got, want)
		}
		seconds, _ := strconv.Atoi(after)
		if want == 429 && (seconds < 25 || seconds > 30) {
			t.Errorf("Retry-After: %q", after)
		}
	}
	if got, after := status(t, h, "/", "b"); got != 200 || after != "" {
		t.Errorf("another key: %d, Retry-After %q", got, after)
	}
}

func TestWhatTheTightestRefusesIsNotCountedByTheOthers(t *testing.T) {
	h := provisioned(t, `{"rate_limits": {
		"host": {"key": "all", "max_events": 3, "window": "1m"},
		"login": {"match": [{"path": ["/login*"]}], "key": "all", "max_events": 1, "window": "1m"}
	}}`)
	defer func() { _ = h.Cleanup() }()
	for i, tried := range []struct {
		path string
		want int
	}{{"/login", 200}, {"/login/x", 429}, {"/login", 429}, {"/", 200}, {"/", 200}, {"/", 429}} {
		if got, _ := status(t, h, tried.path, ""); got != tried.want {
			t.Errorf("request %d, %s: %d, not %d", i, tried.path, got, tried.want)
		}
	}
}

func TestAReloadKeepsWhatWasCountedAndTheNewLimitHolds(t *testing.T) {
	config := func(most int) string {
		return `{"rate_limits": {"kept": {"key": "all", "max_events": ` + strconv.Itoa(most) + `, "window": "1m"}}}`
	}
	before := provisioned(t, config(2))
	for range 2 {
		status(t, before, "/", "")
	}
	after := provisioned(t, config(3)) // Caddy provisions the next configuration before it lets go of the one before
	if got, _ := status(t, before, "/", ""); got != 429 {
		t.Error("a configuration that is not yet in force has changed the limit of the one that is")
	}
	if err := before.Cleanup(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 429} {
		if got, _ := status(t, after, "/", ""); got != want {
			t.Errorf("after the reload: %d, not %d", got, want)
		}
	}
	if err := after.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if keys := remembered.keys.Load(); keys != 0 {
		t.Errorf("%d keys are left of limits that nobody has", keys)
	}
	fresh := provisioned(t, config(1))
	defer func() { _ = fresh.Cleanup() }()
	if got, _ := status(t, fresh, "/", ""); got != 200 {
		t.Error("a limit that was away counts what came before")
	}
}

func TestWhatIsNoLimitIsRefused(t *testing.T) {
	for _, config := range []string{
		`{"rate_limits": {"a": {"key": "x", "max_events": 0, "window": "1s"}}}`,
		`{"rate_limits": {"a": {"key": "x", "max_events": -1, "window": "1s"}}}`,
		`{"rate_limits": {"a": {"key": "x", "max_events": 1}}}`,
		`{"rate_limits": {"a": null}}`,
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(config), h); err != nil {
			t.Fatal(err)
		}
		if err := h.Provision(caddy.Context{}); err == nil {
			t.Errorf("%s was taken", config)
		}
		_ = h.Cleanup()
	}
}
