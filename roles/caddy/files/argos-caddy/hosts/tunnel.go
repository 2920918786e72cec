package hosts

import (
	"errors"
	"net/http"
	"strings"
)

var errTunnel = errors.New("CONNECT, but for a WebSocket, is for proxies; this is an origin server (RFC 9110 §9.3.6)")

// refuseTunnels lets no connection become one on which further requests would reach the upstream past sign-on, WAF and
// limits, with an identity of the client's own making: Upgrade to a version of HTTP ("h2c smuggling") or to TLS is taken
// out of the request, which RFC 9110 §7.8 allows, and CONNECT is refused. WebSockets, and whatever else an application
// upgrades to, pass.
func refuseTunnels(r *http.Request) error {
	if r.Method == http.MethodConnect &&
		!(r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket") {
		return errTunnel
	}
	for _, line := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(protocol, "/")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "h2c", "h2", "h3", "http", "tls":
				delete(r.Header, "Upgrade")
				return nil
			}
		}
	}
	return nil
}
