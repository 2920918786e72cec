package gate

import (
	"errors"
	"net/http"
	"net/textproto"
	"strings"
)

const (
	mostHead = 64 << 10
	mostBody = 128 << 10
)

var errNoAnswer = errors.New("the gate's answer is not one")

// answer is what the gate said, once it is beyond doubt: 200 with an identity or with nobody's, or a denial.
type answer struct {
	status    int
	anonymous bool
	identity  [4]string
	header    http.Header // of a denial
	body      []byte
}

var identityFields = [...]string{"X-Auth-User", "X-Auth-Email", "X-Auth-Name", "X-Auth-Provider"}

// field numbers of what a 200 is judged by, beside the four of identityFields
const (
	visitorField = len(identityFields) + iota
	lengthField
	connectionField
	judgedFields
)

// parse reads a head, its last empty line included. It takes what the gate writes and nothing else: other framing than
// one Content-Length, fields of a connection's own, a redirect to nowhere, a denial with an identity are no answer.
// length is the body's; ends tells that the gate closes the connection after it.
func parse(head string) (said answer, length int, ends bool, err error) {
	line, rest, _ := strings.Cut(head, "\r\n")
	if said.status = statusOf(line); said.status == 0 {
		return said, 0, false, errNoAnswer
	}
	denial := said.status != http.StatusOK
	if denial {
		said.header = make(http.Header, 8)
	}
	var judged [judgedFields]string
	var seen [judgedFields]bool
	for rest != "\r\n" {
		if line, rest, _ = strings.Cut(rest, "\r\n"); rest == "" {
			return said, 0, false, errNoAnswer
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !found || !isName(name) || !isValue(value) {
			return said, 0, false, errNoAnswer
		}
		number := numberOf(name)
		if number == refusedField || (number >= 0 && seen[number]) {
			return said, 0, false, errNoAnswer
		}
		if number >= 0 {
			judged[number], seen[number] = value, true
		}
		if denial && number != connectionField {
			key := textproto.CanonicalMIMEHeaderKey(name)
			said.header[key] = append(said.header[key], value)
		}
	}
	if length, err = lengthOf(judged[lengthField]); err != nil {
		return said, 0, false, err
	}
	ends = strings.EqualFold(judged[connectionField], "close")
	if seen[connectionField] && !ends {
		return said, 0, false, errNoAnswer
	}
	if denial {
		return said, length, ends, denialOf(said, seen)
	}
	for i := range identityFields {
		if !seen[i] {
			return said, 0, false, errNoAnswer
		}
		said.identity[i] = judged[i]
	}
	// A public path's anonymous visitor is said so in words, or an empty name is no answer.
	said.anonymous = seen[visitorField]
	nobody := said.identity == [4]string{} && judged[visitorField] == "anonymous"
	if length != 0 || (said.anonymous && !nobody) || (!said.anonymous && said.identity[0] == "") {
		return said, 0, false, errNoAnswer
	}
	return said, 0, ends, nil
}

func denialOf(said answer, seen [judgedFields]bool) error {
	for i := range visitorField + 1 {
		if seen[i] {
			return errNoAnswer
		}
	}
	if where := said.header["Location"]; said.status == http.StatusFound && (len(where) != 1 || where[0] == "") {
		return errNoAnswer
	}
	return nil
}

// statusOf returns a status that the gate may answer with, or 0.
func statusOf(line string) int {
	const version = "HTTP/1.1 "
	if len(line) < len(version)+3 || line[:len(version)] != version || !isValue(line) {
		return 0
	}
	if reason := line[len(version)+3:]; reason != "" && reason[0] != ' ' {
		return 0
	}
	switch line[len(version) : len(version)+3] {
	case "200":
		return http.StatusOK
	case "302":
		return http.StatusFound
	case "401":
		return http.StatusUnauthorized
	case "403":
		return http.StatusForbidden
	}
	return 0
}

const (
	otherField   = -1
	refusedField = -2
)

func numberOf(name string) int {
	for i, wanted := range &identityFields {
		if strings.EqualFold(name, wanted) {
			return i
		}
	}
	switch {
	case strings.EqualFold(name, "Content-Length"):
		return lengthField
	case strings.EqualFold(name, "Argos-Visitor"):
		return visitorField
	case strings.EqualFold(name, "Connection"):
		return connectionField
	}
	for _, refused := range [...]string{"Transfer-Encoding", "Upgrade", "Trailer", "Te", "Keep-Alive", "Proxy-Connection",
		"Proxy-Authenticate", "Proxy-Authorization"} {
		if strings.EqualFold(name, refused) {
			return refusedField
		}
	}
	return otherField
}

func lengthOf(value string) (int, error) {
	if value == "" || len(value) > 6 {
		return 0, errNoAnswer
	}
	length := 0
	for i := 0; i < len(value); i++ {
		if value[i] < '0' || value[i] > '9' {
			return 0, errNoAnswer
		}
		length = length*10 + int(value[i]-'0')
	}
	if length > mostBody {
		return 0, errNoAnswer
	}
	return length, nil
}

// isName tells whether text is a token (RFC 9110 §5.6.2).
func isName(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return text != ""
}
