package waf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/corazawaf/coraza/v3/types"
	"go.uber.org/zap"
)

// inspection is one request's way through the engine: one transaction, one line in the event log.
type inspection struct {
	h      *Handler
	r      *http.Request
	tx     types.Transaction
	event  event
	ended  bool
	broken bool                  // the engine panicked: the transaction may not go back into its pool
	late   atomic.Pointer[error] // a part of a multipart body refused while the upstream was reading it
}

func (h *Handler) begin(r *http.Request) *inspection {
	counts.requests.Add(1)
	return &inspection{h: h, r: r, tx: h.engine.NewTransaction()}
}

// end writes the event, if there is one, and closes the transaction. Only its first call does anything.
func (in *inspection) end() {
	if in.ended {
		return
	}
	in.ended = true
	if in.broken {
		in.record()
		return
	}
	_ = in.guard(func() error {
		in.tx.ProcessLogging()
		in.record()
		return in.tx.Close()
	})
}

// guard turns a panic of the engine into a refusal: what could not be inspected does not pass.
func (in *inspection) guard(inspect func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			counts.panics.Add(1)
			in.broken = true
			in.h.log.Error("the WAF engine panicked; the request is refused", zap.String("host_id", in.h.HostID),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = in.refuse(http.StatusInternalServerError, "panic", errors.New("waf: the engine panicked"))
		}
	}()
	return inspect()
}

// refuse notes why the WAF, without a rule, does not let the request pass.
func (in *inspection) refuse(status int, reason string, err error) error {
	in.event.Status, in.event.Reason = status, reason
	return caddyhttp.Error(status, err)
}

// limit is refuse in block; in detect it only notes what block would have done, and returns nil.
func (in *inspection) limit(status int, reason string, err error) error {
	if in.h.engine.mode != "block" {
		in.event.WouldBlock, in.event.Reason = true, reason
		return nil
	}
	return in.refuse(status, reason, err)
}

func (in *inspection) request() error {
	bodyless := false
	err := in.inTurn(slots{in.h.shares.requests}, func() error {
		if err := in.headers(); err != nil {
			return err
		}
		bodyless = !in.tx.IsRequestBodyAccessible() || in.r.Body == nil || in.r.Body == http.NoBody || in.streams()
		if bodyless {
			return in.phase2()
		}
		return nil
	})
	if err != nil || bodyless {
		return err
	}
	if b := newMultipartBody(in); b != nil {
		in.r.Body = b
		return b.prefetch()
	}
	return in.wholeBody()
}

// headers runs phase 1 on what the client sent, raw.
func (in *inspection) headers() error {
	in.exclude()
	tx, r := in.tx, in.r
	client, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	_, port, _ := net.SplitHostPort(r.RemoteAddr)
	clientPort, _ := strconv.Atoi(port)
	tx.ProcessConnection(client, clientPort, "", 0)
	method := r.Method
	if extendedConnect(r) {
		method = http.MethodGet // RFC 8441 §5: the HTTP/2 form of a WebSocket's GET
	}
	tx.ProcessURI(r.RequestURI, method, fmt.Sprintf("HTTP/%d.%d", r.ProtoMajor, r.ProtoMinor))
	if contentType := in.untyped(); contentType != "" {
		tx.AddRequestHeader("Content-Type", contentType)
	}
	for name, values := range r.Header {
		for _, v := range values {
			if name == "Content-Type" && in.grpc() {
				v = "application/octet-stream" // to the engine it is an upload; an undeclared host refuses gRPC's own type
			}
			tx.AddRequestHeader(name, v)
		}
	}
	if r.Host != "" || r.ProtoAtLeast(1, 1) { // only HTTP/1.0 may come without one; 920280 looks for that
		tx.AddRequestHeader("Host", r.Host) // net/http takes this and the next out of the header map
	}
	tx.SetServerName(r.Host)
	for _, te := range r.TransferEncoding {
		tx.AddRequestHeader("Transfer-Encoding", te)
	}
	return in.verdict(tx.ProcessRequestHeaders())
}

// phase2 runs the rules of phase 2, on a body if one was written before.
func (in *inspection) phase2() error {
	it, err := in.tx.ProcessRequestBody()
	if err != nil {
		return in.refuse(http.StatusInternalServerError, "engine", fmt.Errorf("waf: %w", err))
	}
	return in.verdict(it)
}

// inTurn waits until every slot is free and inspects. It holds them while the engine works, never while a client sends.
//
// Whoever can run goes first: a slot that comes free wakes its next holder, which Go runs at once and on the rest of the
// other's 10 ms, so that a flood's inspections would follow one another while all other hosts wait (ING-8).
func (in *inspection) inTurn(s slots, inspect func() error) error {
	if !s.acquire(in.r.Context()) {
		counts.busy.Add(1)
		return in.refuse(http.StatusServiceUnavailable, "busy", errors.New("waf: too many requests are being inspected"))
	}
	defer s.release()
	runtime.Gosched()
	return inspect()
}

// inspectBody waits for its turn and runs phase 2 on b.
func (in *inspection) inspectBody(b []byte) error {
	return in.inTurn(append(slots{in.h.shares.bodies}, in.h.policy.slots...), func() error {
		counts.bodies.Add(1)
		it, _, err := in.tx.WriteRequestBody(b)
		if err != nil {
			return in.refuse(http.StatusInternalServerError, "engine", fmt.Errorf("waf: %w", err))
		}
		if err := in.verdict(it); err != nil {
			return err
		}
		return in.phase2()
	})
}

// wholeBody inspects a form, JSON, XML or text. The copy handed on is ours, not the engine's: the upstream's transport
// may still read after ServeHTTP has returned.
func (in *inspection) wholeBody() error {
	limit := in.h.policy.BodyLimit
	b, err := io.ReadAll(io.LimitReader(in.r.Body, limit+1))
	if err != nil {
		return in.unreadable(err)
	}
	in.r.Body = &replayed{Reader: io.MultiReader(strings.NewReader(string(b)), in.r.Body), Closer: in.r.Body}
	if int64(len(b)) > limit {
		counts.overLimit.Add(1)
		// Inspecting only the beginning would let an attacker pad the rest past the WAF.
		if err := in.limit(http.StatusRequestEntityTooLarge, "body_limit", fmt.Errorf("waf: the body exceeds %d inspected bytes", limit)); err != nil {
			return err
		}
		b = b[:limit]
	}
	if jsonLines.MatchString(in.r.Header.Get("Content-Type")) {
		b = oneDocument(b)
	}
	return in.inspectBody(b)
}

// unreadable answers for a body that broke off, has a bad chunk, or passed another handler's limit.
func (in *inspection) unreadable(err error) error {
	var handled caddyhttp.HandlerError
	if errors.As(err, &handled) {
		return handled
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
	}
	return caddyhttp.Error(http.StatusBadRequest, fmt.Errorf("waf: reading the body: %w", err))
}

// replayed is a body whose beginning has been read.
type replayed struct {
	io.Reader
	io.Closer
}

// verdict turns the engine's interruption into the refusal that the client gets.
func (in *inspection) verdict(it *types.Interruption) error {
	if it == nil {
		return nil
	}
	status := it.Status
	if it.Action != "deny" || status < 400 {
		status = http.StatusForbidden
	}
	counts.blocked.Add(1)
	in.event.BlockedBy = it.RuleID
	return in.refuse(status, "rule", fmt.Errorf("waf: rule %d", it.RuleID))
}

// streams tells whether the body ends only with the answer and so cannot be read ahead. It must never be something a
// client can claim about an ordinary body: an Upgrade header or a gRPC content type alone skips nothing.
func (in *inspection) streams() bool {
	// An HTTP/1.1 WebSocket handshake has no body (RFC 6455 §4.1): net/http gives it http.NoBody, and there is nothing
	// to skip. One that does carry a body is no handshake and is inspected.
	return extendedConnect(in.r) || in.grpc()
}

func (in *inspection) grpc() bool {
	return in.h.GRPC && in.r.Method == http.MethodPost && in.r.ProtoMajor >= 2 &&
		strings.HasPrefix(strings.ToLower(in.r.Header.Get("Content-Type")), "application/grpc")
}

// extendedConnect: a WebSocket over HTTP/2 (RFC 8441) or HTTP/3 (RFC 9220). net/http and quic-go report :protocol in
// these two places, and no client can send either by itself.
func extendedConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	return r.ProtoMajor == 2 && r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket"
}
