package hosts

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func provisioned(t *testing.T, text string) (*HostMap, error) {
	t.Helper()
	m := new(HostMap)
	if err := json.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	return m, m.Provision(ctx)
}

func saying(name string) string {
	return `[{"handle":[{"handler":"static_response","body":"` + name + `"}]}]`
}

func served(t *testing.T, handler caddyhttp.MiddlewareHandler, r *http.Request, next http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	err := handler.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		next(w, r)
		return nil
	}))
	if failed, ok := err.(caddyhttp.HandlerError); ok {
		w.Code = failed.StatusCode
	} else if err != nil {
		t.Fatal(err)
	}
	return w
}

// A load of a thousand hosts takes a second of the core that visitors of the present ones are served on.
func TestWhoIsAskingHasATurnBetweenTwoHostsOfALoad(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	names := make([]string, 200)
	for number := range names {
		names[number] = fmt.Sprintf(`"h%d.example.com":[]`, number)
	}
	over, turns := make(chan struct{}), make(chan int)
	go func() {
		for taken := 0; ; taken++ {
			select {
			case <-over:
				turns <- taken
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	_, err := provisioned(t, `{"hosts":{`+strings.Join(names, ",")+`}}`)
	close(over)
	if taken := <-turns; err != nil || taken < len(names)/2 {
		t.Fatalf("%d turns while %d hosts were read (%v)", taken, len(names), err)
	}
}

func TestAHostIsFoundByItsNameAndAWildcardYieldsToIt(t *testing.T) {
	m, err := provisioned(t, `{"hosts":{"a.example.com":`+saying("a")+`,"*.example.com":`+saying("wild")+
		`,"*.b.example.com":`+saying("deep")+`}}`)
	if err != nil {
		t.Fatal(err)
	}
	for host, wanted := range map[string]string{
		"a.example.com": "a", "A.Example.COM:443": "a", "x.example.com": "wild", "x.b.example.com": "deep",
		"b.example.com": "wild", "x.y.example.com": "next", "example.com": "next", "": "next", ".example.com": "next",
		"a.example.com.": "next", "*.example.com": "wild", "[::1]:80": "next",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		next := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("next")) }
		if got := served(t, m, r, next).Body.String(); got != wanted {
			t.Errorf("%q is answered by %q, not %q", host, got, wanted)
		}
	}
}

func TestATargetThatIsNoPathIsRefused(t *testing.T) {
	m, err := provisioned(t, `{"hosts":{"a.example.com":`+saying("a")+`}}`)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.URL = "a.example.com", &url.URL{Scheme: "x", Opaque: ".evil.example"}
	if got := served(t, m, r, func(http.ResponseWriter, *http.Request) {}); got.Code != http.StatusBadRequest {
		t.Errorf("status %d", got.Code)
	}
}

// FWD-1, FWD-3: behind an Upgrade to HTTP/2 the upstream would take any number of requests that passed nobody.
// threat: FWD-1, FWD-3
func TestNoRequestOpensATunnelForOthers(t *testing.T) {
	m, err := provisioned(t, `{"hosts":{"a.example.com":[]}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lines []string
		kept  bool
	}{
		{[]string{"h2c"}, false}, {[]string{"H2C"}, false}, {[]string{" h2c "}, false}, {[]string{"websocket, h2c"}, false},
		{[]string{"websocket", "h2c"}, false}, {[]string{"HTTP/2.0"}, false}, {[]string{"TLS/1.2, HTTP/1.1"}, false},
		{[]string{"h2"}, false}, {[]string{",h2c"}, false},
		{[]string{"websocket"}, true}, {[]string{"tcp"}, true}, {[]string{"SPDY/3.1"}, true},
		{[]string{"tailscale-control-protocol"}, true}, {nil, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "a.example.com"
		if r.Header["Connection"] = []string{"Upgrade"}; c.lines != nil {
			r.Header["Upgrade"] = c.lines
		}
		w := served(t, m, r, func(http.ResponseWriter, *http.Request) {})
		if _, kept := r.Header["Upgrade"]; kept != c.kept || w.Code != http.StatusOK {
			t.Errorf("%q: kept %v, status %d", c.lines, kept, w.Code)
		}
	}
	for name, c := range map[string]struct {
		major, want int
		proto, said string
	}{
		"HTTP/1.1":                     {1, 405, "HTTP/1.1", ""},
		"HTTP/1.1 that says websocket": {1, 405, "HTTP/1.1", "websocket"},
		"HTTP/2":                       {2, 405, "HTTP/2.0", ""},
		"HTTP/2, another protocol":     {2, 405, "HTTP/2.0", "connect-udp"},
		"HTTP/2, WebSocket":            {2, 200, "HTTP/2.0", "websocket"},
		"HTTP/3":                       {3, 405, "HTTP/3.0", "websocket"},
		"HTTP/3, WebSocket":            {3, 200, "websocket", ""},
	} {
		r := httptest.NewRequest(http.MethodConnect, "/", nil)
		r.Host, r.ProtoMajor, r.Proto = "a.example.com", c.major, c.proto
		if c.said != "" {
			r.Header[":protocol"] = []string{c.said}
		}
		if got := served(t, m, r, func(http.ResponseWriter, *http.Request) {}); got.Code != c.want {
			t.Errorf("%s: %d, want %d", name, got.Code, c.want)
		}
	}
}

func TestWhatIsNoRouteIsRefusedWithItsHost(t *testing.T) {
	_, err := provisioned(t, `{"hosts":{"a.example.com":[{"handle":[{"handler":"no_such"}]}]}}`)
	if err == nil || !strings.Contains(err.Error(), `host "a.example.com"`) {
		t.Errorf("said %v", err)
	}
	if _, err := provisioned(t, `{"hosts":{"A.example.com":[]}}`); err == nil {
		t.Error("a name in capital letters would never be found, and was taken")
	}
}

func TestNoCookieOfOursAndNoEarlyHintPasses(t *testing.T) {
	planted := []string{
		"argos_session=x; Path=/", "__Secure-argos_session=x", "__host-ARGOS_panel=x", " =argos_session=x",
		"=__Secure-argos_session", "\targos_x=1",
	}
	kept := []string{"theirs=argos_session", "xargos_session=1", "__Host-theirs=1"}
	w := served(t, Answer{}, httptest.NewRequest(http.MethodGet, "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		for index := range planted {
			w.Header().Add("Set-Cookie", planted[index])
			w.Header().Add("Set-Cookie", kept[index%len(kept)])
		}
		_, _ = w.Write([]byte("body"))
	})
	if w.Code != http.StatusOK || w.Body.String() != "body" {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
	got := w.Header()["Set-Cookie"]
	if len(got) != len(planted) {
		t.Errorf("these passed: %q", got)
	}
	for _, cookie := range got {
		if !strings.Contains(strings.Join(kept, "\n"), cookie) {
			t.Errorf("%q passed", cookie)
		}
	}
	w = served(t, Answer{}, httptest.NewRequest(http.MethodGet, "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", planted[0])
		w.WriteHeader(http.StatusTeapot)
	})
	if _, there := w.Header()["Set-Cookie"]; there || w.Code != http.StatusTeapot {
		t.Errorf("an empty field is left: %v, status %d", w.Header(), w.Code)
	}
}

func TestOneHostMayNotTakeMoreThanItsSlots(t *testing.T) {
	first, second := &Slots{Host: "a", Limit: 2}, &Slots{Host: "a", Limit: 2}
	other := &Slots{Host: "b", Limit: 1}
	for _, slots := range []*Slots{first, second, other} {
		if err := slots.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = slots.Cleanup() }()
	}
	get := func() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }
	deepest := 0
	served(t, first, get(), func(http.ResponseWriter, *http.Request) {
		served(t, second, get(), func(http.ResponseWriter, *http.Request) { // the configuration after a reload
			full := served(t, first, get(), func(http.ResponseWriter, *http.Request) { t.Error("a third was let in") })
			if full.Code != http.StatusServiceUnavailable || full.Header().Get("Retry-After") == "" {
				t.Errorf("status %d, header %v", full.Code, full.Header())
			}
			served(t, other, get(), func(http.ResponseWriter, *http.Request) { deepest++ })
		})
	})
	served(t, first, get(), func(http.ResponseWriter, *http.Request) { deepest++ })
	if deepest != 2 {
		t.Error("another host, or the same one later, was refused")
	}
	if new(Slots).Provision(caddy.Context{}) == nil {
		t.Error("a limit of 0 was taken")
	}
}

// from is a request of a client at an address.
type from struct {
	*Slots
	address string
}

func (f from) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, f.address)
	return f.Slots.ServeHTTP(w, r, next)
}

// ING-8: one client leaves slots for the others, however many addresses of its own network it sends from.
func TestOneClientMayNotTakeAllSlots(t *testing.T) {
	slots := &Slots{Host: "panel", Limit: 4, PerClient: 1}
	if err := slots.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slots.Cleanup() }()
	get := func() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }
	for _, c := range []struct{ holds, same, other string }{
		{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
		{"fe80::1%eth0", "fe80::2%eth1", "fe80:0:0:1::1"},
		{"", "no address", "192.0.2.7"},
	} {
		passed := 0
		served(t, from{slots, c.holds}, get(), func(http.ResponseWriter, *http.Request) {
			full := served(t, from{slots, c.same}, get(), func(http.ResponseWriter, *http.Request) { passed = -9 })
			if full.Code != http.StatusServiceUnavailable || full.Header().Get("Retry-After") == "" {
				t.Errorf("%s beside %s: %d, header %v", c.same, c.holds, full.Code, full.Header())
			}
			served(t, from{slots, c.other}, get(), func(http.ResponseWriter, *http.Request) { passed++ })
		})
		served(t, from{slots, c.same}, get(), func(http.ResponseWriter, *http.Request) { passed++ })
		if passed != 2 {
			t.Errorf("%+v: another client, or the same one later, was refused", c)
		}
	}
	if left := len(slots.underWay.clients); left != 0 {
		t.Errorf("%d clients are remembered that have no request under way", left)
	}
}

func TestAPathIsRedirectedToOneSpellingAndNeverToAnotherHost(t *testing.T) {
	for _, tried := range []struct{ mode, method, target, location string }{
		{"add", "GET", "/a", "/a/"},
		{"add", "HEAD", "/a%2Fb/c?x=%26", "/a%2Fb/c/?x=%26"},
		{"add", "GET", "/a/", ""},
		{"add", "GET", "/a/file.txt", ""},
		{"add", "POST", "/a", ""},
		{"add", "GET", "//evil.example/a", "/evil.example/a/"},
		{"add", "GET", "/", ""},
		{"remove", "GET", "/a/", "/a"},
		{"remove", "GET", "/a//?q", "/a?q"},
		{"remove", "GET", "//evil.example/", "/evil.example"},
		{"remove", "GET", "/", ""},
		{"remove", "GET", "/a", ""},
	} {
		r := httptest.NewRequest(tried.method, "/", nil)
		var err error
		if r.URL, err = url.ParseRequestURI(tried.target); err != nil {
			t.Fatal(err)
		}
		passed := false
		w := served(t, &Slash{Mode: tried.mode}, r, func(http.ResponseWriter, *http.Request) { passed = true })
		if got := w.Header().Get("Location"); got != tried.location || passed != (tried.location == "") {
			t.Errorf("%s %s %s: Location %q, passed on %v", tried.mode, tried.method, tried.target, got, passed)
		}
	}
	if (&Slash{Mode: "keep"}).Validate() == nil {
		t.Error("an unknown mode was taken")
	}
}
