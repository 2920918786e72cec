package waf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	heldAhead = 128 << 10 // of a file part, read before the upstream is called
	parserLag = 16 << 10  // mime/multipart reads at most 4 KiB ahead of what it has parsed
	fileChunk = 32 << 10
)

var errHeldTooLong = errors.New("too much between two parts")

// multipartBody lets the contents of file parts stream to the upstream, and inspects everything else: each part's
// headers and the values of fields go to the engine as a body with the files left empty. A field that follows a large
// file is held back until it has been inspected, so that padding with a file hides nothing.
type multipartBody struct {
	in       *inspection
	src      io.ReadCloser
	parser   *multipart.Reader
	boundary string

	raw       bytes.Buffer    // read from the client, not yet handed on
	file      *multipart.Part // the file part being passed on
	chunk     []byte          // for its content
	delimiter *delimiter
	skeleton  bytes.Buffer // what the engine has not seen yet
	budget    int64        // inspected bytes that may still come
	first     bool         // the inspection's own transaction has not been used
	handed    bool         // the upstream reads: what is found now has a transaction and a line of its own
	begun     bool         // a part has been found
	open      bool         // nothing more is inspected: the body has been, or detect lets it pass
	err       error
}

// newMultipartBody returns nil for anything that the engine would not parse as a form of parts: rule 10013 makes it read
// multipart/related and the like so, as Rack does.
func newMultipartBody(in *inspection) *multipartBody {
	contentType := in.r.Header.Get("Content-Type")
	if !strings.HasPrefix(strings.TrimSpace(strings.ToLower(contentType)), "multipart/") {
		return nil
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil // inspected as a whole, within the limit; the engine's strict checks refuse it
	}
	b := &multipartBody{in: in, src: in.r.Body, boundary: params["boundary"], budget: in.h.policy.BodyLimit, first: true,
		delimiter: newDelimiter(params["boundary"])}
	b.parser = multipart.NewReader(tap{b}, b.boundary)
	return b
}

// tap keeps what the parser reads. Between file parts it reads no more than what may be inspected.
type tap struct{ b *multipartBody }

func (t tap) Read(p []byte) (int, error) {
	if t.b.file == nil && int64(t.b.raw.Len()) > t.b.in.h.policy.BodyLimit+heldAhead+parserLag {
		return 0, errHeldTooLong
	}
	n, err := t.b.src.Read(p)
	t.b.raw.Write(p[:n])
	return n, err
}

// prefetch inspects the body up to its end or into its first large file.
func (b *multipartBody) prefetch() error {
	defer func() { b.handed = true }()
	for !b.open && (b.file == nil || b.raw.Len() < heldAhead) {
		if err := b.advance(); err != nil {
			return err
		}
	}
	if b.open {
		return nil
	}
	return b.inspect()
}

// Read hands on what has been inspected. The upstream's transport calls it, possibly from another goroutine than
// ServeHTTP's, so a refusal reaches the client through the inspection's late field.
func (b *multipartBody) Read(p []byte) (int, error) {
	for b.err == nil {
		if n := b.safe(); n > 0 {
			return b.raw.Read(p[:min(n, len(p))])
		}
		if b.open {
			return b.src.Read(p)
		}
		if b.err = b.step(); b.err != nil {
			b.in.late.Store(&b.err)
		}
	}
	return 0, b.err
}

// Close ends the client's body.
func (b *multipartBody) Close() error { return b.src.Close() }

// safe is how many held bytes are file content, or inspected.
func (b *multipartBody) safe() int {
	switch {
	case b.open:
		return b.raw.Len()
	case b.file != nil && b.skeleton.Len() == 0:
		return b.raw.Len() - parserLag
	}
	return 0
}

// step goes on while the upstream reads. A panic here would take the whole process down.
func (b *multipartBody) step() (err error) {
	defer func() {
		if p := recover(); p != nil {
			counts.panics.Add(1)
			err = caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("waf: the multipart parser panicked: %v", p))
		}
	}()
	if b.file != nil && b.skeleton.Len() > 0 {
		return b.inspect()
	}
	return b.advance()
}

// advance parses one part's header, one field, or a chunk of a file.
func (b *multipartBody) advance() error {
	if b.file != nil {
		if b.chunk == nil {
			b.chunk = make([]byte, fileChunk)
		}
		n, err := io.CopyBuffer(b.delimiter, io.LimitReader(b.file, fileChunk), b.chunk)
		if err == nil && n < fileChunk {
			b.file = nil
		}
		if err == nil && b.delimiter.found {
			err = errInside
		}
		return b.malformed(err)
	}
	part, err := b.parser.NextRawPart()
	if (err == nil || err == io.EOF) && !b.begun {
		b.begun = true
		if odd := b.delimiter.begins(b.raw.Bytes()); odd != nil {
			return b.malformed(odd)
		}
	}
	if err == io.EOF {
		return b.finish()
	}
	if err != nil {
		return b.malformed(err)
	}
	if oddFile(part) {
		return b.malformed(errOddFile)
	}
	before := b.skeleton.Len()
	fmt.Fprintf(&b.skeleton, "--%s\r\n", b.boundary)
	for _, name := range slices.Sorted(maps.Keys(part.Header)) { // what the engine reads of a body is the same each time
		for _, v := range part.Header[name] {
			fmt.Fprintf(&b.skeleton, "%s: %s\r\n", name, v)
		}
	}
	b.skeleton.WriteString("\r\n")
	b.budget -= int64(b.skeleton.Len() - before)
	b.delimiter.begin()
	if part.FileName() != "" {
		b.file = part
		b.skeleton.WriteString("\r\n")
		return b.overBudget()
	}
	n, err := io.Copy(io.MultiWriter(&b.skeleton, b.delimiter), io.LimitReader(part, max(0, b.budget)+1))
	b.budget -= n
	if err == nil && b.delimiter.found {
		err = errInside
	}
	b.skeleton.WriteString("\r\n")
	if over := b.overBudget(); over != nil || b.open {
		return over
	}
	return b.malformed(err)
}

func (b *multipartBody) finish() error {
	if err := b.inspect(); err != nil {
		return err
	}
	if err := b.ends(); err != nil {
		return b.malformed(err)
	}
	b.open = true
	return nil
}

// inspect shows the engine the parts it has not seen.
func (b *multipartBody) inspect() error {
	if b.skeleton.Len() == 0 && !b.first {
		return nil
	}
	fmt.Fprintf(&b.skeleton, "--%s--\r\n", b.boundary)
	body := b.skeleton.Bytes()
	defer b.skeleton.Reset()
	if b.first {
		b.first = false
		return b.in.inspectBody(body)
	}
	later := b.in.h.begin(b.in.r)
	defer later.end()
	return later.guard(func() error {
		if err := later.inTurn(slots{later.h.shares.requests}, later.headers); err != nil {
			return err
		}
		return later.inspectBody(body)
	})
}

func (b *multipartBody) overBudget() error {
	if b.budget >= 0 {
		return nil
	}
	counts.overLimit.Add(1)
	return b.giveUp(http.StatusRequestEntityTooLarge, "body_limit",
		fmt.Errorf("waf: the fields of the form exceed %d inspected bytes", b.in.h.policy.BodyLimit))
}

// malformed refuses what the upstream may parse otherwise than we do.
func (b *multipartBody) malformed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errHeldTooLong):
		b.budget = -1
		return b.overBudget()
	}
	return b.giveUp(http.StatusBadRequest, "multipart", fmt.Errorf("waf: the multipart body is malformed: %w", err))
}

// giveUp refuses in block. In detect the parts so far are inspected, and the rest passes as it is.
func (b *multipartBody) giveUp(status int, reason string, err error) error {
	if b.handed {
		later := b.in.h.begin(b.in.r)
		defer later.end()
		if err := later.limit(status, reason, err); err != nil {
			return err
		}
		b.open = true
		return nil
	}
	if err := b.in.limit(status, reason, err); err != nil {
		return err
	}
	if err := b.inspect(); err != nil {
		return err
	}
	b.open = true
	return nil
}
