package hosts

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// AUT-3: "cookies" would sign visitors out of the panel and every published host.
// threat: AUT-3
func TestOnlyTheApplicationsOwnOriginIsCleared(t *testing.T) {
	for _, c := range []struct{ lines, want []string }{
		{[]string{`"cookies"`}, nil},
		{[]string{`"*"`}, nil},
		{[]string{`"cache", "cookies", "storage"`}, []string{`"cache", "storage"`}},
		{[]string{`"cookies"`, `"executionContexts"`, "\t\"*\" ,\"cache\""}, []string{`"executionContexts", "cache"`}},
		{[]string{`"Cookies"`, `"COOKIES"`, `cookies`, `*`, `"cookies";q=1`, `"cookies`, `"x,"cookies","`}, nil},
		{[]string{`"storage,"cookies",cache"`, `"clientHints"`}, []string{`"clientHints"`}},
		{[]string{`"cookies2030"`, ``, `,`}, nil},
		{[]string{`"cache"`}, []string{`"cache"`}},
	} {
		for way, send := range map[string]func(http.ResponseWriter){
			"status": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
			"write":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "body") },
			"read from": func(w http.ResponseWriter) {
				_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("body"))
			},
			"flush": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
			"after a hint": func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusOK)
			},
		} {
			w := served(t, Answer{}, httptest.NewRequest(http.MethodGet, "/", nil), func(w http.ResponseWriter, _ *http.Request) {
				w.Header()[clearSiteData] = append([]string(nil), c.lines...)
				send(w)
			})
			if got := w.Result().Header[clearSiteData]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %q became %q, want %q", way, c.lines, got, c.want)
			}
		}
	}
}

// AUT-3: behind the body, or before the answer, no handler of ours would see them.
// threat: AUT-3
func TestNothingIsPlantedInTrailersOrHints(t *testing.T) {
	// The upstream's trailers as reverse_proxy hands them on: announced ones as headers, the others with net/http's prefix.
	upstream := func(w http.ResponseWriter, announced string) {
		w.Header().Set(clearSiteData, `"cookies"`)
		w.WriteHeader(http.StatusEarlyHints)
		if announced != "" {
			w.Header().Add("Trailer", announced)
		}
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		prefix := http.TrailerPrefix
		if announced != "" {
			prefix = ""
		}
		for name, value := range map[string]string{clearSiteData: `"cookies"`, "Set-Cookie": "__Secure-argos_session=x", "Grpc-Status": "0"} {
			w.Header().Set(prefix+name, value)
		}
	}
	for _, announced := range []string{"", "Set-Cookie, Grpc-Status, clear-site-data", "Grpc-Status"} {
		for _, two := range []bool{false, true} {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
				_ = Answer{}.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
					upstream(w, announced)
					return nil
				}))
			}))
			server.EnableHTTP2 = two
			server.StartTLS()
			r, _ := http.NewRequest(http.MethodGet, server.URL, nil)
			hints := 0
			r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}))
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			server.Close()
			if err != nil || string(body) != "body" || hints != 0 {
				t.Errorf("%q, HTTP/2 %v: body %q, %d hints, %v", announced, two, body, hints, err)
			}
			if want := (http.Header{"Grpc-Status": {"0"}}); !reflect.DeepEqual(resp.Trailer, want) {
				t.Errorf("%q, HTTP/2 %v: trailers %v, want %v", announced, two, resp.Trailer, want)
			}
			if resp.Header.Get(clearSiteData) != "" {
				t.Errorf("%q, HTTP/2 %v: %v", announced, two, resp.Header)
			}
		}
	}
	w := served(t, Answer{}, httptest.NewRequest(http.MethodGet, "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "set-cookie")
		w.WriteHeader(http.StatusOK)
	})
	if got, there := w.Header()["Trailer"]; there {
		t.Errorf("an empty field is left: %q", got)
	}
}
