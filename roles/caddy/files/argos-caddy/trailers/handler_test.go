package trailers

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// FWD-1: announced or not, a trailer is not in the request that later handlers see, nor after its body was read.
func TestTrailersAreDropped(t *testing.T) {
	for _, announced := range []string{"Trailer: X-Auth-User\r\n", ""} {
		seen := make(chan http.Header, 2)
		next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			seen <- r.Trailer
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "hi" {
				t.Errorf("body %q, %v", body, err)
			}
			seen <- r.Trailer
			return nil
		})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := (Handler{}).ServeHTTP(w, r, next); err != nil {
				t.Error(err)
			}
		}))
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"+announced+
			"\r\n2\r\nhi\r\n0\r\nX-Auth-User: mallory\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		if before, after := <-seen, <-seen; before != nil || after != nil {
			t.Errorf("announced %q: trailers %v before and %v after the body", announced, before, after)
		}
		_ = conn.Close()
		server.Close()
	}
}
