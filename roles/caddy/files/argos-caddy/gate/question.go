package gate

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

var errUnwritable = errors.New("the request cannot be told to the gate: a control character, or no host's name")

// What the gate decides by beside what we say ourselves (runtime/src/argos/gate/protocol.py). Each line that a client
// sent is one line to the gate, which refuses or joins what came twice.
var clientFields = [...]struct{ name, begin string }{
	{"Cookie", "\r\nCookie: "},
	{"Accept", "\r\nAccept: "},
	{"Sec-Fetch-Mode", "\r\nSec-Fetch-Mode: "},
	{"Sec-Fetch-Dest", "\r\nSec-Fetch-Dest: "},
	{"X-Requested-With", "\r\nX-Requested-With: "},
}

// appendQuestion writes the head of the subrequest behind out. Nothing of the client's can begin a line of its own: a
// value with a control character is refused. What the client's Connection header names ends with us (RFC 9110 §7.6.1),
// but never what we say ourselves.
func appendQuestion(out []byte, r *http.Request, vars map[string]any) ([]byte, error) {
	host, _ := vars[hostVariable].(string)
	original, _ := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if host == "" || original.RequestURI == "" {
		return out, errUnwritable
	}
	connection := r.Header["Connection"]
	text := writer{out: out}
	text.field("GET /verify HTTP/1.1\r\nHost: gate\r\nArgos-Host-Id: ", host)
	text.field("\r\nX-Forwarded-Method: ", r.Method)
	text.field("\r\nX-Forwarded-Proto: ", scheme(r, vars, connection))
	text.field("\r\nX-Forwarded-Host: ", r.Host)
	text.field("\r\nX-Forwarded-Uri: ", original.RequestURI)
	for _, field := range &clientFields {
		values := r.Header[field.name]
		if len(values) == 0 || lists(connection, field.name) {
			continue
		}
		for _, value := range values {
			text.field(field.begin, value)
		}
	}
	if protocol := upgrade(r, connection); protocol != "" {
		text.field("\r\nConnection: Upgrade\r\nUpgrade: ", protocol)
	}
	text.out = append(text.out, "\r\n\r\n"...)
	if text.broken {
		return text.out, errUnwritable
	}
	return text.out, nil
}

type writer struct {
	out    []byte
	broken bool
}

func (w *writer) field(begin, value string) {
	if !isValue(value) {
		w.broken = true
		return
	}
	w.out = append(append(w.out, begin...), value...)
}

// isValue tells whether text can be a field's value (RFC 9110 §5.5): no control character but the tab.
func isValue(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// scheme is the connection's, or what a trusted proxy in front says it was there.
func scheme(r *http.Request, vars map[string]any, connection []string) string {
	if trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool); trusted && !lists(connection, "X-Forwarded-Proto") {
		if said := r.Header["X-Forwarded-Proto"]; len(said) > 0 && said[len(said)-1] != "" {
			return said[len(said)-1]
		}
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// upgrade is the protocol that the client would switch to; over HTTP/2 and 3 a WebSocket begins with an extended CONNECT
// (RFC 8441, RFC 9220).
func upgrade(r *http.Request, connection []string) string {
	if r.Method == http.MethodConnect &&
		((r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket") || (r.ProtoMajor == 3 && r.Proto == "websocket")) {
		return "websocket"
	}
	if asked := r.Header["Upgrade"]; len(asked) > 0 && lists(connection, "Upgrade") {
		return strings.ToLower(asked[0])
	}
	return ""
}

// lists tells whether lines of a comma-separated field name the token.
func lists(lines []string, token string) bool {
	for _, rest := range lines {
		for rest != "" {
			var part string
			part, rest, _ = strings.Cut(rest, ",")
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}
