package waf

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"strings"
)

// jsonLines are types whose body is one JSON document a line: bulk APIs and log shippers send them.
var jsonLines = regexp.MustCompile(`(?i)^[^a-z]*(?:application|text)/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines)\b`)

// oneDocument makes a JSON array of JSON lines: the engine's parser reads one document. A line that is no JSON makes the
// whole none, and rule 10005 refuses it.
func oneDocument(lines []byte) []byte {
	document := append(make([]byte, 0, len(lines)+2), '[')
	for line := range bytes.Lines(lines) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(document) > 1 {
			document = append(document, ',')
		}
		document = append(document, line...)
	}
	return append(document, ']')
}

const sniffed = 512 // bytes

// untyped gives the engine a type for a PUT that names none: RFC 9110 §8.3 lets it, and `curl -T` sends such uploads. By
// its first bytes it is text, or an upload of any other type: a JSON parser that goes by no type stops at the bytes that
// make it binary, and a form without a type is read by nobody in a PUT. Other methods' bodies without a type are read as
// forms, and CRS asks for a type (920340).
func (in *inspection) untyped() string {
	r := in.r
	if r.Method != http.MethodPut || len(r.Header.Values("Content-Type")) > 0 || r.Body == nil || r.Body == http.NoBody {
		return ""
	}
	head := bufio.NewReaderSize(r.Body, sniffed)
	first, _ := head.Peek(sniffed) // an error comes again to whoever reads on
	r.Body = &replayed{Reader: head, Closer: r.Body}
	if bytes.ContainsFunc(first, func(c rune) bool { return c < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", c) }) {
		return "application/octet-stream"
	}
	return "text/plain"
}
