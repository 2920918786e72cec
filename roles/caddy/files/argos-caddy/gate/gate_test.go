package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const yes = "HTTP/1.1 200 OK\r\nX-Auth-User: alice\r\nX-Auth-Email: a@b.example\r\nX-Auth-Name: \r\n" +
	"X-Auth-Provider: local\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n"

// standIn is a gate that answers each request on a connection as answer says; "" closes the connection unanswered.
type standIn struct {
	path     string
	dialed   atomic.Int64
	mutex    sync.Mutex
	asked    []string
	accepted []net.Conn
}

func stand(t *testing.T, answer func(connection, request int, head string) string) *standIn {
	t.Helper()
	gate := &standIn{path: filepath.Join(t.TempDir(), "gate.sock")}
	listener, err := net.Listen("unix", gate.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(); gate.drop() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			number := int(gate.dialed.Add(1))
			gate.mutex.Lock()
			gate.accepted = append(gate.accepted, conn)
			gate.mutex.Unlock()
			go gate.serve(conn, number, answer)
		}
	}()
	return gate
}

func (g *standIn) serve(conn net.Conn, number int, answer func(int, int, string) string) {
	defer conn.Close()
	from := bufio.NewReader(conn)
	for request := 1; ; request++ {
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			line, err := from.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
		}
		g.mutex.Lock()
		g.asked = append(g.asked, head.String())
		g.mutex.Unlock()
		text := answer(number, request, head.String())
		if text == "" {
			return
		}
		_, _ = io.WriteString(conn, text)
	}
}

// drop closes the connections that stand, as a gate that ends does.
func (g *standIn) drop() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for _, conn := range g.accepted {
		_ = conn.Close()
	}
}

func (g *standIn) last(t *testing.T) string {
	t.Helper()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if len(g.asked) == 0 {
		t.Fatal("the gate was not asked")
	}
	return g.asked[len(g.asked)-1]
}

func always(text string) func(int, int, string) string {
	return func(int, int, string) string { return text }
}

func handler(t *testing.T, gate *standIn) *Handler {
	t.Helper()
	h := &Handler{Socket: gate.path}
	if err := h.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "photos.home.example"
	return known(r, "photos.home.example")
}

// known gives a request what Caddy gives it before any handler.
func known(r *http.Request, host string) *http.Request {
	vars := map[string]any{hostVariable: host, caddyhttp.TrustedProxyVarKey: false}
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars)
	return r.WithContext(context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, *r))
}

// through sends a request through the handler; passed holds the variables of one that went on.
func through(h *Handler, r *http.Request) (w *httptest.ResponseRecorder, passed map[string]any, status int) {
	w = httptest.NewRecorder()
	err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		passed = r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
		return nil
	}))
	status = w.Code
	var failed caddyhttp.HandlerError
	if errors.As(err, &failed) {
		status = failed.StatusCode
	}
	return w, passed, status
}

func TestWhoPassesIsRemembered(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	for range 3 {
		_, passed, _ := through(h, request("GET", "/", ""))
		for name, want := range map[string]any{
			"argos_user": "alice", "argos_email": "a@b.example", "argos_name": "", "argos_provider": "local",
		} {
			if passed[name] != want {
				t.Errorf("%s is %v, not %v", name, passed[name], want)
			}
		}
	}
	if gate.dialed.Load() != 1 {
		t.Errorf("%d connections for three requests in turn", gate.dialed.Load())
	}
}

func TestNobodyPassesWhereThereArePublicPathsOnly(t *testing.T) {
	text := strings.NewReplacer("alice", "", "a@b.example", "", "local", "").Replace(yes)
	h := handler(t, stand(t, always(strings.Replace(text, "\r\n\r\n", "\r\nArgos-Visitor: anonymous\r\n\r\n", 1))))
	if _, passed, status := through(h, request("GET", "/", "")); passed != nil || status != http.StatusBadGateway {
		t.Errorf("%d, variables %v", status, passed)
	}
	h.Anonymous = true
	if _, passed, _ := through(h, request("GET", "/", "")); passed == nil || passed["argos_user"] != "" {
		t.Errorf("variables %v", passed)
	}
}

// What the gate reads arrives, line by line as the client sent it, and nothing else; the body is left where it is.
func TestTheGateIsAskedWithWhatItDecidesBy(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	r := request("POST", "/a%2Fb?x=%26", "a body")
	for name, values := range map[string][]string{
		"Cookie": {"a=1; b=\"2\"", "c=\xff"}, "Accept": {"text/html", "*/*"}, "Sec-Fetch-Mode": {"navigate", "cors"},
		"Sec-Fetch-Dest": {"document"}, "X-Requested-With": {"XMLHttpRequest"}, "Connection": {"keep-alive, upgrade"},
		"Upgrade": {"WebSocket"}, "Authorization": {"Basic secret"}, "X-Forwarded-Proto": {"https"}, "Content-Length": {"6"},
		"X-Forwarded-Uri": {"/public"}, "Argos-Host-Id": {"other.example"}, "X-Forwarded-Host": {"other.example"},
	} {
		r.Header[name] = values
	}
	_, passed, _ := through(h, r)
	want := "GET /verify HTTP/1.1\r\nHost: gate\r\nArgos-Host-Id: photos.home.example\r\nX-Forwarded-Method: POST\r\n" +
		"X-Forwarded-Proto: http\r\nX-Forwarded-Host: photos.home.example\r\nX-Forwarded-Uri: /a%2Fb?x=%26\r\n" +
		"Cookie: a=1; b=\"2\"\r\nCookie: c=\xff\r\nAccept: text/html\r\nAccept: */*\r\nSec-Fetch-Mode: navigate\r\n" +
		"Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: document\r\nX-Requested-With: XMLHttpRequest\r\n" +
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	if got := gate.last(t); got != want {
		t.Errorf("asked\n%q, not\n%q", got, want)
	}
	if body, _ := io.ReadAll(r.Body); string(body) != "a body" || passed == nil {
		t.Errorf("body %q", body)
	}
}

// FWD-1: a Connection header takes the client's own fields away, as the RFC wants, and none of ours.
func TestTheClientsConnectionHeaderNamesNothingOfOurs(t *testing.T) {
	gate := stand(t, always(yes))
	r := request("GET", "/", "")
	r.Header.Set("Connection", "close, Cookie , argos-host-id, X-Forwarded-Uri,x-forwarded-method")
	r.Header.Set("Cookie", "a=1")
	r.Header.Set("Accept", "*/*")
	through(handler(t, gate), r)
	asked := gate.last(t)
	for _, line := range []string{"Argos-Host-Id: photos.home.example", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "Accept: */*"} {
		if !strings.Contains(asked, "\r\n"+line+"\r\n") {
			t.Errorf("%q is not in %q", line, asked)
		}
	}
	if strings.Contains(asked, "Cookie") {
		t.Errorf("the cookie ends with us: %q", asked)
	}
}

func TestTheSchemeIsThatOfATrustedProxyOnly(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	for trusted, want := range map[bool]string{true: "https", false: "http"} {
		r := request("GET", "/", "")
		r.Header["X-Forwarded-Proto"] = []string{"http", "https"}
		r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)[caddyhttp.TrustedProxyVarKey] = trusted
		through(h, r)
		if !strings.Contains(gate.last(t), "\r\nX-Forwarded-Proto: "+want+"\r\n") {
			t.Errorf("trusted %v: %q", trusted, gate.last(t))
		}
	}
}

func TestAnExtendedConnectIsAWebSocketsHandshake(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	for _, major := range []int{2, 3} {
		r := request("GET", "/socket", "")
		r.Method, r.ProtoMajor = http.MethodConnect, major
		if major == 2 {
			r.Header[":protocol"] = []string{"websocket"}
		} else {
			r.Proto = "websocket"
		}
		through(h, r)
		if asked := gate.last(t); !strings.Contains(asked, "\r\nUpgrade: websocket\r\n") || strings.Contains(asked, ":protocol") {
			t.Errorf("HTTP/%d: %q", major, asked)
		}
	}
}

// FWD-3: what cannot be written as it is, is not asked, and nobody passes.
func TestNoValueBeginsALineOfItsOwn(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	for _, bad := range []string{"x\r\nArgos-Host-Id: open", "x\ny", "x\ry", "x\x00y", "x\x7f"} {
		for what, spoil := range map[string]func(*http.Request) *http.Request{
			"cookie": func(r *http.Request) *http.Request { r.Header["Cookie"] = []string{"a=1", bad}; return r },
			"accept": func(r *http.Request) *http.Request { r.Header["Accept"] = []string{bad}; return r },
			"method": func(r *http.Request) *http.Request { r.Method = bad; return r },
			"host":   func(r *http.Request) *http.Request { r.Host = bad; return r },
			"uri":    func(r *http.Request) *http.Request { r.RequestURI = bad; return known(r, "photos.home.example") },
			"id":     func(r *http.Request) *http.Request { return known(r, bad) },
		} {
			if _, passed, status := through(h, spoil(request("GET", "/", ""))); passed != nil || status != 502 {
				t.Errorf("%s %q: status %d, passed %v", what, bad, status, passed)
			}
		}
	}
	if _, passed, status := through(h, known(httptest.NewRequest("GET", "/", nil), "")); passed != nil || status != 502 {
		t.Errorf("no host's name: status %d", status)
	}
	if len(gate.asked) != 0 {
		t.Errorf("asked %q", gate.asked)
	}
}

func with(text, old, replacement string) string {
	changed := strings.Replace(text, old, replacement, 1)
	if changed == text {
		panic(old + " is not in the answer")
	}
	return changed
}

const no = "HTTP/1.1 401 Unauthorized\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\r\nno\n"

// FWD-3: only what the gate itself would write is an answer.
func TestWhatIsNoAnswerLetsNobodyIn(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                    "",
		"noise":                      "\x00\xff garbage\r\n\r\n",
		"another protocol":           "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"HTTP/1.0":                   with(yes, "HTTP/1.1", "HTTP/1.0"),
		"a lower-case version":       with(yes, "HTTP/1.1", "http/1.1"),
		"no status":                  with(yes, " 200 OK", " OK"),
		"a status of four digits":    with(yes, " 200 OK", " 2000 OK"),
		"a status with a sign":       with(yes, " 200 OK", " +200 OK"),
		"204":                        with(yes, "200 OK", "204 No Content"),
		"201":                        with(yes, "200 OK", "201 Created"),
		"206":                        with(yes, "200 OK", "206 Partial Content"),
		"304":                        with(yes, "200 OK", "304 Not Modified"),
		"500 with an identity":       with(yes, "200 OK", "500 Oops"),
		"307":                        "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n",
		"a hint before":              "HTTP/1.1 103 Early Hints\r\n\r\n" + yes,
		"a switch":                   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"no identity":                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"no fields":                  "HTTP/1.1 200 OK\r\n\r\n",
		"a user alone":               "HTTP/1.1 200 OK\r\nX-Auth-User: alice\r\nContent-Length: 0\r\n\r\n",
		"a field too few":            with(yes, "X-Auth-Provider: local\r\n", ""),
		"an empty user":              with(yes, "alice", ""),
		"a user of blanks":           with(yes, "alice", " \t "),
		"two users":                  with(yes, "X-Auth-Name", "x-auth-user: bob\r\nX-Auth-Name"),
		"the same user twice":        with(yes, "X-Auth-Name", "X-Auth-User: alice\r\nX-Auth-Name"),
		"two names":                  with(yes, "X-Auth-Name", "X-Auth-Name: \r\nX-Auth-Name"),
		"a named anonymous":          with(yes, "Cache-Control: no-store", "Argos-Visitor: anonymous"),
		"an anonymous else":          with(with(yes, "alice", ""), "Cache-Control: no-store", "Argos-Visitor: somebody"),
		"a field folded":             with(yes, "alice", "alice\r\n bob"),
		"a bare CR":                  with(yes, "alice", "al\rice"),
		"a bare LF":                  with(yes, "\r\nX-Auth-Email", "\nX-Auth-Email"),
		"a NUL":                      with(yes, "alice", "al\x00ice"),
		"a blank before the colon":   with(yes, "X-Auth-User:", "X-Auth-User :"),
		"a field without a name":     with(yes, "X-Auth-User: alice", ": alice\r\nX-Auth-User: alice"),
		"a line without a colon":     with(yes, "Cache-Control: no-store", "Cache-Control"),
		"a name that is none":        with(yes, "Cache-Control", "Cache Control"),
		"no length":                  with(yes, "Content-Length: 0\r\n", ""),
		"an empty length":            with(yes, "Content-Length: 0", "Content-Length:"),
		"a negative length":          with(yes, "Content-Length: 0", "Content-Length: -1"),
		"a length with a sign":       with(yes, "Content-Length: 0", "Content-Length: +0"),
		"a length with a list":       with(yes, "Content-Length: 0", "Content-Length: 0, 0"),
		"two lengths":                with(yes, "Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0"),
		"a chunked answer":           with(yes, "Content-Length: 0", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"both framings":              with(yes, "Content-Length: 0", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
		"a yes with a body":          with(yes, "Content-Length: 0", "Content-Length: 2") + "ok",
		"a trailer":                  with(yes, "Cache-Control: no-store", "Trailer: X-Auth-User"),
		"Connection: a field's name": with(yes, "Cache-Control: no-store", "Connection: X-Auth-User"),
		"half an answer":             yes[:len(yes)-10],
		"two answers":                yes + yes,
		"an octet too many":          yes + "\n",
		"a yes behind a no":          no + yes,
		"a head without an end":      "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 3_000_000),
		"a body without an end":      with(no, "Content-Length: 3", "Content-Length: 999999") + strings.Repeat("a", 999_999),
		"a body cut short":           with(no, "Content-Length: 3", "Content-Length: 99"),
		"a redirect to nowhere":      "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
		"a redirect to two places":   "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
		"a no to somebody":           with(no, "Cache-Control: no-store", "X-Auth-User: alice"),
		"a no to nobody":             with(no, "Cache-Control: no-store", "X-Auth-User: "),
		"an anonymous no":            with(no, "Cache-Control: no-store", "Argos-Visitor: anonymous"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := handler(t, standOnce(t, text))
			w, passed, status := through(h, request("GET", "/", ""))
			if passed != nil || status != 502 || w.Body.Len() != 0 {
				t.Errorf("status %d, passed %v, body %q", status, passed, w.Body)
			}
			if idle := len(h.links.idle); idle != 0 {
				t.Errorf("%d connections are kept after that", idle)
			}
		})
	}
}

// standOnce is a gate that says text to each request and closes.
func standOnce(t *testing.T, text string) *standIn {
	t.Helper()
	gate := &standIn{path: filepath.Join(t.TempDir(), "once.sock")}
	listener, err := net.Listen("unix", gate.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	return gate
}

func TestADenialIsHandedOnAsItIs(t *testing.T) {
	page := strings.Repeat("<p>not you</p>", 5000)
	for text, want := range map[string]struct {
		status int
		body   string
	}{
		no: {401, "no\n"},
		"HTTP/1.1 302 Found\r\nLocation: https://argos.home.example/login?rd=x\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n":                             {302, ""},
		fmt.Sprintf("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", len(page), page): {403, page},
	} {
		gate := stand(t, always(text))
		h := handler(t, gate)
		for range 2 {
			w, passed, _ := through(h, request("GET", "/", ""))
			if passed != nil || w.Code != want.status || w.Body.String() != want.body {
				t.Errorf("%.20q: status %d, passed %v, %d octets", text, w.Code, passed, w.Body.Len())
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Via") != "1.1 Caddy" {
				t.Errorf("header %v", w.Header())
			}
			if want.status == 302 && w.Header().Get("Location") != "https://argos.home.example/login?rd=x" {
				t.Errorf("header %v", w.Header())
			}
		}
		if gate.dialed.Load() != 1 {
			t.Errorf("%.20q: %d connections", text, gate.dialed.Load())
		}
	}
}

// A gate that restarts closes what is kept open: nobody is denied for that.
func TestAKeptConnectionThatWasClosedIsReplaced(t *testing.T) {
	var ending atomic.Bool
	gate := stand(t, func(connection, request int, _ string) string {
		if ending.Load() && connection == 1 {
			return "" // closed after the question, before an answer
		}
		return yes
	})
	h := handler(t, gate)
	if _, passed, _ := through(h, request("GET", "/", "")); passed == nil {
		t.Fatal("nobody passes")
	}
	ending.Store(true)
	if _, passed, status := through(h, request("GET", "/", "")); passed == nil || gate.dialed.Load() != 2 {
		t.Errorf("status %d over %d connections", status, gate.dialed.Load())
	}
	gate.drop()
	if _, passed, status := through(h, request("GET", "/", "")); passed == nil || gate.dialed.Load() != 3 {
		t.Errorf("status %d over %d connections", status, gate.dialed.Load())
	}
}

func TestAConnectionThatTheGateEndsIsNotKept(t *testing.T) {
	gate := stand(t, always(with(yes, "\r\n", "\r\nConnection: close\r\n")))
	h := handler(t, gate)
	for n := range int64(3) {
		if _, passed, _ := through(h, request("GET", "/", "")); passed == nil || gate.dialed.Load() != n+1 {
			t.Errorf("%d connections after %d requests", gate.dialed.Load(), n+1)
		}
	}
}

// FWD-3: a question is put once more only while nothing was said, and only once.
func TestWhatBeganToBeAnsweredIsNotAskedAgain(t *testing.T) {
	for name, second := range map[string]string{"half a line": "HTTP/1.1 20", "nothing, again and again": ""} {
		listenerPath := filepath.Join(t.TempDir(), "gate.sock")
		listener, err := net.Listen("unix", listenerPath)
		if err != nil {
			t.Fatal(err)
		}
		var questions atomic.Int64
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					for {
						if _, err := conn.Read(make([]byte, 4096)); err != nil {
							return
						}
						if questions.Add(1) > 1 {
							_, _ = io.WriteString(conn, second)
							return
						}
						_, _ = io.WriteString(conn, yes)
					}
				}()
			}
		}()
		h := handler(t, &standIn{path: listenerPath})
		if _, passed, _ := through(h, request("GET", "/", "")); passed == nil {
			t.Fatal("nobody passes")
		}
		_, passed, status := through(h, request("GET", "/", ""))
		want := map[bool]int64{true: 3, false: 2}[second == ""]
		if passed != nil || status != 502 || questions.Load() != want {
			t.Errorf("%s: status %d after %d questions, not %d", name, status, questions.Load(), want)
		}
		_ = listener.Close()
	}
}

// What came while nobody asked is no answer to the next question.
func TestAConnectionWithSomethingOnItIsNotAskedOver(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	through(h, request("GET", "/", ""))
	gate.mutex.Lock()
	_, _ = io.WriteString(gate.accepted[0], strings.Replace(yes, "alice", "mallory", 1))
	gate.mutex.Unlock()
	_, passed, _ := through(h, request("GET", "/", ""))
	if passed["argos_user"] != "alice" || gate.dialed.Load() != 2 {
		t.Errorf("%v over %d connections", passed["argos_user"], gate.dialed.Load())
	}
}

func TestAClientThatGoesAwayIsNotWaitedFor(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	gate := stand(t, func(int, int, string) string { close(asked); <-over; return "" })
	defer close(over)
	ctx, leave := context.WithCancel(context.Background())
	go func() { <-asked; leave() }()
	r := request("GET", "/", "")
	began := time.Now()
	_, passed, status := through(handler(t, gate), r.WithContext(context.WithValue(context.WithValue(ctx,
		caddyhttp.VarsCtxKey, r.Context().Value(caddyhttp.VarsCtxKey)), caddyhttp.OriginalRequestCtxKey, *r)))
	if passed != nil || status != 499 || time.Since(began) > answerTimeout {
		t.Errorf("status %d after %s", status, time.Since(began))
	}
}

func TestAGateThatSaysNothingIsWaitedForInBoundedTime(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	gate := stand(t, func(int, int, string) string { <-over; return "" })
	defer close(over)
	if _, passed, status := through(handler(t, gate), request("GET", "/", "")); passed != nil || status != 504 {
		t.Errorf("status %d", status)
	}
}

func TestAGateThatIsNotThereLetsNobodyIn(t *testing.T) {
	h := handler(t, &standIn{path: filepath.Join(t.TempDir(), "nobody.sock")})
	if _, passed, status := through(h, request("GET", "/", "")); passed != nil || status != 502 {
		t.Errorf("status %d", status)
	}
	if err := (&Handler{}).Provision(caddy.Context{}); err == nil {
		t.Error("no socket was accepted")
	}
}

// Each is answered as the one who asked, whatever else is under way, and whatever connections end.
func TestNobodyIsTakenForAnother(t *testing.T) {
	gate := stand(t, func(connection, request int, head string) string {
		if request > 5+connection%7 {
			return ""
		}
		_, after, _ := strings.Cut(head, "\r\nCookie: who=")
		who, _, _ := strings.Cut(after, "\r\n")
		return strings.Replace(yes, "alice", who, 1)
	})
	h := handler(t, gate)
	var all sync.WaitGroup
	for visitor := range 16 {
		all.Go(func() {
			for turn := range 100 {
				who := fmt.Sprintf("visitor-%d-%d", visitor, turn)
				r := request("GET", "/", "")
				r.Header.Set("Cookie", "who="+who)
				ctx, leave := context.WithCancel(r.Context())
				if turn%10 == 9 {
					go leave()
				}
				_, passed, status := through(h, r.WithContext(ctx))
				leave()
				if (passed == nil && status != 499) || (passed != nil && passed["argos_user"] != who) {
					t.Errorf("%s: status %d as %v", who, status, passed["argos_user"])
				}
			}
		})
	}
	all.Wait()
	if len(h.links.idle) > 16 {
		t.Errorf("%d connections for 16 at once", len(h.links.idle))
	}
}

func TestConnectionsOutliveAReloadAndEndWithTheLastConfiguration(t *testing.T) {
	gate := stand(t, always(yes))
	before, after := &Handler{Socket: gate.path}, &Handler{Socket: gate.path}
	if err := before.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	through(before, request("GET", "/", ""))
	if err := after.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if err := before.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, passed, _ := through(after, request("GET", "/", "")); passed == nil || gate.dialed.Load() != 1 {
		t.Errorf("%d connections", gate.dialed.Load())
	}
	if err := after.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if len(after.links.idle) != 0 {
		t.Error("a connection is kept for nobody")
	}
	if _, passed, _ := through(after, request("GET", "/", "")); passed == nil || len(after.links.idle) != 0 {
		t.Error("a request under way passes over a connection of its own, which is not kept")
	}
}

func TestWhatNobodyUsesIsClosed(t *testing.T) {
	gate := stand(t, always(yes))
	h := handler(t, gate)
	through(h, request("GET", "/", ""))
	h.links.sweep()
	through(h, request("GET", "/", ""))
	h.links.sweep()
	if len(h.links.idle) != 1 {
		t.Fatal("a connection in use was closed")
	}
	h.links.sweep()
	if len(h.links.idle) != 0 || h.links.timer != nil {
		t.Error("a connection that nobody used is open")
	}
}

func BenchmarkQuestion(b *testing.B) {
	r := request("GET", "/album?page=2", "")
	r.Header.Set("Cookie", "theme=dark; __Secure-argos_session="+strings.Repeat("A", 43))
	r.Header.Set("Accept", "text/html")
	vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ = appendQuestion(out[:0], r, vars)
		if _, _, _, err := parse(yes); err != nil {
			b.Fatal(err)
		}
	}
}
