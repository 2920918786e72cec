package hosts

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(Answer{}) }

// Answer keeps back what a published application must not say: cookies that name one of the edge's own, and
// Clear-Site-Data for cookies, which a browser clears for the whole registrable domain, the panel's among them (AUT-3);
// both in trailers too. And interim answers such as 103 Early Hints, whose fields no later handler would look at (RFC 9110
// §15.2 lets a proxy leave them out).
type Answer struct{}

// CaddyModule names the module.
func (Answer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.host_answer", New: func() caddy.Module { return new(Answer) }}
}

// ServeHTTP hands on a writer that looks at the header just before it goes out.
func (Answer) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	err := next.ServeHTTP(&answerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}, r)
	for _, name := range neverTrailers { // those that were not announced
		delete(w.Header(), http.TrailerPrefix+name)
	}
	return err
}

// neverTrailers are fields that have no place behind a body, where we could not look at them any more.
var neverTrailers = [...]string{clearSiteData, "Set-Cookie"}

type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	wroteHeader bool
}

// WriteHeader drops interim answers but 101, after which the connection is another protocol's.
func (w *answerWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	if !w.wroteHeader {
		w.wroteHeader = true
		dropPlanted(w.Header())
		keepOwnSite(w.Header())
		announceLess(w.Header())
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write sends the header first, as net/http would.
func (w *answerWriter) Write(body []byte) (int, error) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.Write(body)
}

// ReadFrom does as Write.
func (w *answerWriter) ReadFrom(body io.Reader) (int64, error) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.ReadFrom(body)
}

// FlushError sends the header, as net/http would on a flush.
func (w *answerWriter) FlushError() error {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func dropPlanted(header http.Header) {
	cookies := header["Set-Cookie"]
	kept := 0
	for _, cookie := range cookies {
		if !isOurs(cookie) {
			cookies[kept] = cookie
			kept++
		}
	}
	if kept == 0 && len(cookies) > 0 {
		delete(header, "Set-Cookie")
	} else if kept < len(cookies) {
		header["Set-Cookie"] = cookies[:kept]
	}
}

const clearSiteData = "Clear-Site-Data"

// keepOwnSite leaves of Clear-Site-Data what concerns the application's own origin. Whatever else it says goes, "cookies"
// and "*" in any spelling, and what browsers may one day understand.
func keepOwnSite(header http.Header) {
	lines, there := header[clearSiteData]
	if !there {
		return
	}
	var kept []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") { // as browsers do, without regard to quotes
			switch part = strings.Trim(part, " \t"); part {
			case `"cache"`, `"storage"`, `"executionContexts"`, `"clientHints"`, `"prefetchCache"`, `"prerenderCache"`:
				kept = append(kept, part)
			}
		}
	}
	if kept == nil {
		delete(header, clearSiteData)
		return
	}
	header[clearSiteData] = []string{strings.Join(kept, ", ")}
}

// announceLess takes names out of Trailer; net/http sends only the announced ones.
func announceLess(header http.Header) {
	lines, there := header["Trailer"]
	if !there {
		return
	}
	var kept []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name != "" && !slices.Contains(neverTrailers[:], name) {
				kept = append(kept, name)
			}
		}
	}
	if kept == nil {
		delete(header, "Trailer")
		return
	}
	header["Trailer"] = kept
}

// isOurs looks for our names without regard to case, behind a leading "=" (a nameless cookie whose value a browser
// sends as "name=value") and behind blanks and control characters, as browsers and lenient parsers differ there.
func isOurs(cookie string) bool {
	name := strings.TrimLeftFunc(cookie, func(r rune) bool { return r <= ' ' || r == '=' })
	for _, prefix := range [...]string{"__Host-", "__Secure-"} {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			name = name[len(prefix):]
			break
		}
	}
	const ours = "argos_"
	return len(name) >= len(ours) && strings.EqualFold(name[:len(ours)], ours)
}

var _ caddyhttp.MiddlewareHandler = Answer{}
