package waf

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/corazawaf/coraza/v3/types"
)

// answer calls the upstream and runs phases 3 and 4 on what it answers.
func (in *inspection) answer(w http.ResponseWriter, next caddyhttp.Handler) error {
	// A compressed answer says nothing to the rules. "encode" has read this before, and compresses for the client; the
	// transport, which sees none now, asks for gzip by itself and undoes it.
	in.r.Header.Del("Accept-Encoding")
	rw := &response{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, in: in}
	err := next.ServeHTTP(rw, in.r)
	if late := in.late.Load(); late != nil {
		return *late
	}
	if rw.refused != nil {
		return rw.refused
	}
	if err == nil && rw.buffering {
		err = rw.finish()
	}
	return err
}

// response holds back the MIME types that the policy inspects, up to its limit. All else goes straight through: SSE,
// downloads, 101, and every flush. Unwrap, from the embedded wrapper, keeps Hijack reachable.
type response struct {
	*caddyhttp.ResponseWriterWrapper
	in        *inspection
	status    int
	buffering bool
	refused   error
}

// WriteHeader runs phase 3.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols { // 103 and the like are not the answer yet
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
	tx := w.in.tx
	for name, values := range w.Header() {
		for _, v := range values {
			tx.AddResponseHeader(name, v)
		}
	}
	w.judge(func() (*types.Interruption, error) { return tx.ProcessResponseHeaders(status, w.in.r.Proto), nil })
	if w.refused != nil {
		return
	}
	w.buffering = status != http.StatusSwitchingProtocols && w.Header().Get("Content-Encoding") == "" &&
		tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable()
	if !w.buffering {
		w.ResponseWriter.WriteHeader(status)
	}
}

// judge asks the engine, and turns an interruption, an error or a panic into a refusal.
func (w *response) judge(ask func() (*types.Interruption, error)) {
	err := w.in.guard(func() error {
		it, err := ask()
		if err != nil {
			return w.in.refuse(http.StatusInternalServerError, "engine", err)
		}
		return w.in.verdict(it)
	})
	if err != nil {
		w.refused, w.buffering = err, false
		clear(w.Header())
	}
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.refused != nil {
		return len(b), nil
	}
	if !w.buffering {
		return w.ResponseWriter.Write(b)
	}
	taken := 0
	w.judge(func() (it *types.Interruption, err error) {
		it, taken, err = w.in.tx.WriteResponseBody(b)
		return it, err
	})
	if w.refused != nil || taken == len(b) {
		return len(b), nil
	}
	if err := w.release(); err != nil { // the policy's limit: the first part was judged, the rest passes
		return 0, err
	}
	if _, err := w.ResponseWriter.Write(b[taken:]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// finish runs phase 4 on what was held back, and sends it.
func (w *response) finish() error {
	w.judge(w.in.tx.ProcessResponseBody)
	if w.refused != nil {
		return w.refused
	}
	return w.release()
}

func (w *response) release() error {
	w.buffering = false
	w.ResponseWriter.WriteHeader(w.status)
	held, err := w.in.tx.ResponseBodyReader()
	if err != nil {
		return err
	}
	_, err = io.Copy(w.ResponseWriter, held)
	return err
}

// FlushError is what http.ResponseController calls.
func (w *response) FlushError() error {
	if w.buffering || w.refused != nil {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError for those who do not use a ResponseController.
func (w *response) Flush() { _ = w.FlushError() }

// Hijack hands the connection over, for WebSockets.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// ReadFrom keeps sendfile for what is not held back.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.buffering && w.refused == nil {
		return w.ResponseWriterWrapper.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}
