package waf

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"regexp"
)

// What is a file's content to Go's parser, and so to Coraza, may be a field to the upstream's, whose value nobody has
// inspected then. RFC 2046 §5.1.1 leaves no honest reason for any of these, so they are refused (ING-2).
var (
	errOddFile  = errors.New("a part is a file to some parsers and a field to others")
	errInside   = errors.New("a part holds the boundary")
	errOutside  = errors.New("something stands before the first part or behind the last one")
	errUnending = errors.New("its end is not found")
)

const mostBlanks = 4 << 10 // behind the last part

var (
	quoted        = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	plainFilename = regexp.MustCompile(`(?i);[ \t]*filename=`)
	// Nothing that parsers end elsewhere: PHP takes ' for a quote, "filename =" for another name than "filename", and
	// the quote behind two backslashes for an escaped one.
	plainDisposition = regexp.MustCompile(`(?i)^[a-z-]+(?:;[ \t]*(?:(?:name|filename)=(?:"(?:[^"\\]|\\["a-z0-9 ._-])*"|` +
		`[^\s"'\\;,=]+)|filename\*=[a-z0-9-]*'[a-z0-9-]*'[^\s"'\\;,=]*))+[ \t;]*$`)
)

// oddFile tells whether Go takes the part for a file where another parser takes it for a field: Go also reads a name
// from "filename*" and "filename*0" (RFC 2231), which RFC 7578 §4.2 forbids and PHP, for one, ignores; and of two
// Content-Disposition lines parsers pick either. Coraza parses as Go does, so the field's value would be seen by nobody.
func oddFile(part *multipart.Part) bool {
	if part.FileName() == "" {
		return false
	}
	lines := part.Header.Values("Content-Disposition")
	return len(lines) != 1 || !plainDisposition.MatchString(lines[0]) ||
		!plainFilename.MatchString(quoted.ReplaceAllString(lines[0], `""`))
}

// delimiter looks for the boundary at the beginning of a line of a part's content. Go's parser wants CRLF before it and
// nothing behind it; PHP's takes a bare line feed and stops reading the line at a NUL.
type delimiter struct {
	dashed []byte // "--" and the boundary
	tail   []byte // the last bytes of what was written, one more than dashed may have
	found  bool
}

func newDelimiter(boundary string) *delimiter {
	return &delimiter{dashed: []byte("--" + boundary)}
}

// begin starts a new part, whose content begins a line.
func (d *delimiter) begin() { d.tail = append(d.tail[:0], '\n') }

// Write looks at the next bytes of the content.
func (d *delimiter) Write(p []byte) (int, error) {
	seam := append(d.tail, p[:min(len(p), len(d.dashed)-1)]...)
	d.found = d.found || d.within(seam) >= 0 || d.within(p) >= 0
	if len(p) > len(d.dashed) {
		d.tail = append(d.tail[:0], p[len(p)-len(d.dashed):]...)
	} else {
		all := append(d.tail, p...)
		d.tail = append(d.tail[:0], all[max(0, len(all)-len(d.dashed)-1):]...)
	}
	return len(p), nil
}

// within returns where in p a line begins with the boundary, -1 where none does; p's own beginning is not looked at.
func (d *delimiter) within(p []byte) int {
	for at := 0; ; {
		i := bytes.Index(p[at:], d.dashed)
		if i < 0 {
			return -1
		}
		if at += i; at > 0 && (p[at-1] == '\n' || p[at-1] == '\r') {
			return at
		}
		at++
	}
}

// begins tells whether nothing but line ends stood before the first boundary, and that line says nothing else.
func (d *delimiter) begins(raw []byte) error {
	line, _, _ := bytes.Cut(bytes.TrimLeft(raw, "\r\n"), []byte{'\n'})
	behind, found := bytes.CutPrefix(line, d.dashed)
	if behind = bytes.TrimRight(behind, " \t\r"); !found || len(behind) > 0 && string(behind) != "--" {
		return errOutside
	}
	return nil
}

// ends reads to the body's end, and tells whether nothing but blanks followed the last boundary.
func (b *multipartBody) ends() error {
	raw := append([]byte{'\n'}, b.raw.Bytes()...)
	last := &delimiter{dashed: append(bytes.Clone(b.delimiter.dashed), "--"...)}
	at := last.within(raw)
	if at < 0 {
		return errUnending
	}
	rest, held := raw[at+len(last.dashed):], 0
	for chunk := make([]byte, 512); ; {
		if held += len(rest); held > mostBlanks || len(bytes.Trim(rest, " \t\r\n")) > 0 {
			return errOutside
		}
		n, err := b.src.Read(chunk)
		b.raw.Write(chunk[:n])
		if rest = chunk[:n]; err == io.EOF && len(bytes.Trim(rest, " \t\r\n")) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
}
