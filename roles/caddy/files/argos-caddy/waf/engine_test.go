package waf

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

func TestABadPolicyIsRefusedWithItsReason(t *testing.T) {
	for text, reason := range map[string]string{
		`SecRule ARGS "@rx a" "id:1,deny"`:                                                 "secruleengine",
		"SecRuleEngine On\nSecRule ARGS \"@rx (\" \"id:1,deny\"":                           "missing closing",
		"SecRuleEngine On\nSecNonsense On":                                                 "secnonsense",
		"SecRuleEngine On\nSecAction \"id:1,pass\"\nSecAction \"id:1,pass\"":               "id",
		"SecRuleEngine On\nInclude /etc/passwd":                                            "passwd",
		"SecRuleEngine On\nSecRule ARGS \"@pmFromFile /etc/passwd\" \"id:1,phase:1,deny\"": "passwd",
	} {
		app, _, err := attached(t, &setup{Policy: Policy{Rules: text, For: "a.home.example"}})
		if err == nil {
			t.Errorf("accepted: %s", text)
		} else if !strings.Contains(strings.ToLower(err.Error()), reason) || !strings.Contains(err.Error(), "a.home.example") {
			t.Errorf("%q: the error names neither host nor reason %q: %v", text, reason, err)
		}
		if err := app.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	app, _, err := attached(t, &setup{Policy: Policy{Rules: "SecRuleEngine On", BodyLimit: maxBodyLimit + 1}})
	if err == nil || !strings.Contains(err.Error(), "body_limit") {
		t.Errorf("body_limit: %v", err)
	}
	_ = app.Cleanup()
}

// ING-2: level 4 sees what level 1 lets pass.
func TestParanoiaRaisesWhatIsSeen(t *testing.T) {
	raise := func(s *setup) { s.Rules = strings.ReplaceAll(s.Rules, "paranoia_level=1", "paranoia_level=4") }
	for want, e := range map[int]*edge{200: serve(t, "On", nil), 403: serve(t, "On", nil, raise)} {
		if got := e.send(t, "GET", "/?note=%22it%27s%20%26%20that%22%3B--", "", nil).StatusCode; got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}

func TestAPIAndWebDAVRequestsPass(t *testing.T) {
	e := serve(t, "On", nil)
	for _, c := range []struct{ method, contentType, body string }{
		{"PUT", "text/plain; charset=utf-8", "a note"}, {"DELETE", "", ""}, {"PATCH", "application/merge-patch+json", `{"a": 1}`},
		{"PROPFIND", "application/xml; charset=utf-8", `<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:allprop/></d:propfind>`},
		{"POST", "application/vnd.api+json", `{"data": []}`}, {"POST", "text/json", `{"a": 1}`},
	} {
		if resp := e.send(t, c.method, "/dav/notes", c.contentType, strings.NewReader(c.body)); resp.StatusCode != 200 {
			t.Errorf("%s %s: %d", c.method, c.contentType, resp.StatusCode)
		}
	}
}

// panics is a real engine whose transactions panic in phase 2.
type panics struct{ coraza.WAF }

func (p panics) NewTransaction() types.Transaction { return panicking{p.WAF.NewTransaction()} }

type panicking struct{ types.Transaction }

func (panicking) ProcessRequestBody() (*types.Interruption, error) { panic("a rule's fault") }

func TestAPanicOfTheEngineRefusesTheRequest(t *testing.T) {
	called := false
	e := serve(t, "On", func(http.ResponseWriter, *http.Request) { called = true })
	sound := e.h.engine
	e.h.engine = &engine{WAF: panics{sound.WAF}, mode: "block"}
	for _, send := range []func() *http.Response{
		func() *http.Response { return e.send(t, "GET", "/", "", nil) },
		func() *http.Response { return e.send(t, "POST", "/", "application/json", strings.NewReader("{}")) },
	} {
		if got := send().StatusCode; got != 500 || called {
			t.Errorf("answered %d, upstream called: %v; want 500, false", got, called)
		}
	}
	if ev := e.events(t, 2)[0]; ev.Reason != "panic" || ev.Status != 500 {
		t.Errorf("event: %+v", ev)
	}
	e.h.engine = sound
	if got := e.send(t, "GET", "/", "", nil).StatusCode; got != 200 {
		t.Errorf("afterwards: %d, want 200", got)
	}
}

// The server's own way of cutting a connection is not the engine's panic.
func TestAnAbortedAnswerStaysAborted(t *testing.T) {
	e := serve(t, "On", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	e.Config.ErrorLog = nil
	if resp, err := e.Client().Get(e.URL); err == nil {
		t.Errorf("answered %d, want a cut connection", resp.StatusCode)
	}
}

func responses(t *testing.T, check func(t *testing.T, o option)) {
	for name, o := range map[string]option{
		"request phases": func(*setup) {},
		"response phases": func(s *setup) {
			s.Response = true
			s.Rules = strings.Replace(s.Rules, "SecResponseBodyAccess Off", "SecResponseBodyAccess On", 1)
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, o) })
	}
}

// ING-2: answers are inspected though the client takes compressed ones.
func TestResponsePhasesAskForAnswersThatTheyCanRead(t *testing.T) {
	const leak = "Fatal error: You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"
	responses(t, func(t *testing.T, o option) {
		e := serve(t, "On", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				w.Header().Set("Content-Encoding", "gzip")
				to := gzip.NewWriter(w)
				defer to.Close()
				_, _ = io.WriteString(to, leak)
				return
			}
			_, _ = io.WriteString(w, leak)
		}, o)
		resp := e.send(t, "GET", "/", "", nil, "Accept-Encoding", "gzip")
		if want := map[bool]int{false: 200, true: 403}[e.h.policy.Response]; resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
		if encoded := resp.Header.Get("Content-Encoding"); !e.h.policy.Response && encoded != "gzip" {
			t.Errorf("without response phases the upstream's encoding is the client's: %q", encoded)
		}
	})
}

func TestAWebSocketPassesBothWays(t *testing.T) {
	responses(t, func(t *testing.T, o option) {
		e := serve(t, "On", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			line, _ := rw.ReadString('\n')
			_, _ = fmt.Fprintf(conn, "echo %s", line)
		}, o)
		conn, err := net.Dial("tcp", e.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: photos.home.example\r\nUser-Agent: x\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n<script>alert(1)</script>\n")
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v %v", resp, err)
		}
		if line, _ := r.ReadString('\n'); line != "echo <script>alert(1)</script>\n" {
			t.Errorf("got %q", line)
		}
	})
}

// RFC 8441: over HTTP/2 a WebSocket's frames are the body, and must not be waited for.
func TestAnExtendedConnectIsNotReadAhead(t *testing.T) {
	e := serve(t, "On", nil)
	body, client := io.Pipe()
	defer client.Close()
	r := httptest.NewRequest("CONNECT", "/ws", body)
	r.RequestURI, r.ProtoMajor, r.ProtoMinor, r.Host = "/ws", 2, 0, "photos.home.example"
	r.Header.Set("User-Agent", "x")
	r.Header[":protocol"] = []string{"websocket"}
	called := make(chan bool, 1)
	go func() {
		w := httptest.NewRecorder()
		through(e.h, func(http.ResponseWriter, *http.Request) { called <- true }).ServeHTTP(w, r)
		if w.Code != 200 {
			called <- false
		}
	}()
	select {
	case ok := <-called:
		if !ok {
			t.Error("refused")
		}
	case <-time.After(time.Minute):
		t.Error("the handler waits for the WebSocket's frames")
	}
}

func TestGRPCStreamsOnADeclaredHost(t *testing.T) {
	e := serve(t, "On", nil, func(s *setup) { s.GRPC = true })
	s := httptest.NewUnstartedServer(through(e.h, func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 4)
		_, _ = io.ReadFull(r.Body, first)
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(first)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	body, client := io.Pipe()
	req, _ := http.NewRequest("POST", s.URL+"/echo.Echo/Stream", body)
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("TE", "trailers")
	go func() { _, _ = client.Write([]byte("ping")) }() // and keeps the stream open
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer client.Close()
	got := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, got); resp.StatusCode != 200 || string(got) != "ping" {
		t.Errorf("%d %q %v", resp.StatusCode, got, err)
	}
}

func TestServerSentEventsArriveAsTheyAreSent(t *testing.T) {
	responses(t, func(t *testing.T, o option) {
		seen := make(chan struct{})
		e := serve(t, "On", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: one\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
			case <-time.After(time.Minute):
			}
			_, _ = io.WriteString(w, "data: two\n\n")
		}, o)
		resp, err := e.Client().Get(e.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		started := time.Now()
		first, _ := bufio.NewReader(resp.Body).ReadString('\n')
		if first != "data: one\n" || time.Since(started) > 30*time.Second {
			t.Errorf("got %q after %s", first, time.Since(started))
		}
		close(seen)
	})
}

func TestResponsePhasesRefuseAnAnswerOnlyWhenAsked(t *testing.T) {
	leak := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/leak" {
			_, _ = io.WriteString(w, "planted-leak")
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("fine ", 20_000))
	}
	rule := "\nSecRule RESPONSE_BODY \"@contains planted-leak\" \"id:10099,phase:4,deny,status:403,msg:'a leak'\"\n"
	responses(t, func(t *testing.T, o option) {
		e := serve(t, "On", leak, o, func(s *setup) { s.Rules += rule })
		want := map[bool]int{true: 403, false: 200}[e.h.policy.Response]
		resp := e.send(t, "GET", "/leak", "", nil)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || (want == 403 && strings.Contains(string(body), "planted-leak")) {
			t.Errorf("%d %q, want %d", resp.StatusCode, body, want)
		}
		resp = e.send(t, "GET", "/", "", nil)
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(body) != 100_000 {
			t.Errorf("harmless answer: %d, %d bytes", resp.StatusCode, len(body))
		}
	})
}

// Reloads: handlers come and go while others serve, and nothing stays behind.
func TestConcurrentReloadsLeaveNothingBehind(t *testing.T) {
	quiet := func() (n int) {
		for range 100 {
			runtime.GC()
			time.Sleep(5 * time.Millisecond)
			if m := runtime.NumGoroutine(); m == n {
				return n
			} else {
				n = m
			}
		}
		return n
	}
	before := quiet()
	log := t.TempDir() + "/waf.log"
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			text := fmt.Sprintf("SecRuleEngine On\nSecRule ARGS \"@contains attack%d\" \"id:1,phase:1,deny,msg:'x',severity:'CRITICAL'\"", i%5)
			app, h, err := attached(t, &setup{Policy: Policy{Rules: text}, AuditLog: log})
			if err != nil {
				t.Error(err)
			}
			for range 20 {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", fmt.Sprintf("/?q=attack%d", i%5), nil)
				r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{}))
				if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })); err == nil {
					t.Error("an attack passed")
				}
			}
			if err := app.Cleanup(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	engines.Range(func(key, _ any) bool {
		if !kept[key.(policyKey)] {
			t.Errorf("engine %x is still there", key)
		}
		return true
	})
	journals.Range(func(key, _ any) bool { t.Errorf("journal %v is still there", key); return true })
	if after := quiet(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
