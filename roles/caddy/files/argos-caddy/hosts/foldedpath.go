package hosts

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(FoldedPath{}) }

// FoldedPath matches as Caddy's "path" does, and also the path that an upstream may make of the request's: servlet
// containers drop ";" and what follows in a segment, others take "\" for "/" or decode twice. A rule that blocks, or a
// limit, would be passed by "/;/admin" otherwise (ING-2).
type FoldedPath caddyhttp.MatchPath

// CaddyModule names the module.
func (FoldedPath) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.folded_path", New: func() caddy.Module { return new(FoldedPath) }}
}

// Provision sets the patterns up.
func (m FoldedPath) Provision(ctx caddy.Context) error { return caddyhttp.MatchPath(m).Provision(ctx) }

// MatchWithError looks at the path as it came, then at what it may be taken for.
func (m FoldedPath) MatchWithError(r *http.Request) (bool, error) {
	patterns := caddyhttp.MatchPath(m)
	found, err := patterns.MatchWithError(r)
	if found || err != nil {
		return found, err
	}
	folded := fold(r.URL.Path)
	if folded == r.URL.Path {
		return false, nil
	}
	other := *r
	other.URL = &url.URL{Path: folded}
	return patterns.MatchWithError(&other)
}

// Match is MatchWithError for those who do not ask for errors.
func (m FoldedPath) Match(r *http.Request) bool {
	found, _ := m.MatchWithError(r)
	return found
}

const decodings = 3

var (
	encoded    = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	parameters = regexp.MustCompile(`;[^/]*`)
)

// fold makes of a path, decoded once, the plainest that any server makes of it.
func fold(p string) string {
	if !strings.ContainsAny(p, ";\\%\x00") {
		return p // PERF: Caddy's own matcher cleans dots and slashes
	}
	for range decodings {
		plain := encoded.ReplaceAllStringFunc(p, func(octet string) string {
			made, err := url.PathUnescape(octet)
			if err != nil {
				return octet
			}
			return made
		})
		if plain == p {
			break
		}
		p = plain
	}
	p, _, _ = strings.Cut(p, "\x00")
	p = parameters.ReplaceAllString(strings.ReplaceAll(p, `\`, "/"), "")
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

var (
	_ caddy.Provisioner                 = FoldedPath(nil)
	_ caddyhttp.RequestMatcherWithError = FoldedPath(nil)
)
