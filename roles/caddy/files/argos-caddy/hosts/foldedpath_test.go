package hosts

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// ING-2: whatever an upstream may take for a blocked path is blocked, and nothing else.
func TestAPathIsMatchedAsAnyServerMayReadIt(t *testing.T) {
	m := FoldedPath{"/admin", "/admin/*"}
	if err := m.Provision(caddy.Context{Context: context.Background()}); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]bool{
		"/admin": true, "/admin/x": true, "/ADMIN/x": true, "//admin/x": true, "/./admin": true, "/x/../admin": true,
		"/;/admin": true, "/;a=1/admin": true, "/admin;a=1": true, "/admin;/x": true, "/x/..;/admin": true,
		"/%2e/admin": true, "/x/%2e%2e/admin": true, "/x/%252e%252e/admin": true, "/%25252e/admin/x": true,
		"/%61dmin": true, "/%2561dmin": true, `/%5cadmin`: true, `/x%5c..%5cadmin`: true, "/%3b/admin": true,
		"/admin%00.jpg": true, "/admin%2500.jpg": true, "/%2fadmin": true,
		"/": false, "/administration": false, "/x/admin": false, "/x;/admin": false, "/x?/admin": false, "/100%25": false,
		"/%zz": false, "/;": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if u, err := r.URL.Parse(target); err == nil {
			r.URL = u
		} else {
			r.URL.Path = target
		}
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
		if target == "//admin/x" {
			r.URL.Path, r.URL.Host = target, "" // a reference's host to Parse, a path to the server
		}
		got, err := m.MatchWithError(r)
		if err != nil || got != want {
			t.Errorf("%s: %v (%v), want %v", target, got, err, want)
		}
	}
}
