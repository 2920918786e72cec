package gate

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	mostIdle    = 256 // as many stay open as are used at once: dialing for each question costs a quarter of the rate
	idleTimeout = time.Minute
	usualBuffer = 4 << 10
	keptBuffer  = 16 << 10 // a link that once carried more lets go of it
)

// pool keeps connections to one socket open. The one used last is taken first, so that a quiet time closes the others.
type pool struct {
	socket string

	mutex  sync.Mutex
	idle   []*link
	timer  *time.Timer
	closed bool
}

// Destruct closes what is idle; what is under way closes when it comes back.
func (p *pool) Destruct() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.closed = true
	for _, l := range p.idle {
		_ = l.conn.Close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
	}
	return nil
}

// ask puts the question of one request. A kept connection that the gate closed in the meantime, before any octet of an
// answer, is replaced by a fresh one, once: asking twice changes nothing, and nothing was said yet.
func (p *pool) ask(r *http.Request, vars map[string]any) (answer, error) {
	if l := p.take(); l != nil {
		said, heard, err := p.askOver(l, r, vars)
		if err == nil || heard || !isClosed(err) || r.Context().Err() != nil {
			return said, err
		}
	}
	l, err := p.dial(r.Context())
	if err != nil {
		return answer{}, err
	}
	said, _, err := p.askOver(l, r, vars)
	return said, err
}

func (p *pool) askOver(l *link, r *http.Request, vars map[string]any) (said answer, heard bool, err error) {
	stop := context.AfterFunc(r.Context(), l.interrupt)
	said, ends, heard, err := l.ask(r, vars)
	// When stop is too late, interrupt may still be about to run: the link is nobody else's any more.
	if !stop() || err != nil || ends {
		_ = l.conn.Close()
	} else {
		p.keep(l)
	}
	return said, heard, err
}

// isClosed tells the errors of a connection that the other end let go of from one that is late.
func isClosed(err error) bool {
	var late net.Error
	return !errors.Is(err, errUnwritable) && !(errors.As(err, &late) && late.Timeout())
}

func (p *pool) take() *link {
	for {
		p.mutex.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mutex.Unlock()
			return nil
		}
		l := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.mutex.Unlock()
		if l.isQuiet() {
			return l
		}
		_ = l.conn.Close()
	}
}

func (p *pool) keep(l *link) {
	if cap(l.in) > keptBuffer || cap(l.out) > keptBuffer {
		l.in, l.out = make([]byte, usualBuffer), nil
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed || len(p.idle) >= mostIdle {
		_ = l.conn.Close()
		return
	}
	p.idle = append(p.idle, l)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTimeout, p.sweep)
	}
}

// sweep closes what nobody took since the sweep before; it runs again while anything is idle.
func (p *pool) sweep() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		return
	}
	kept := p.idle[:0]
	for _, l := range p.idle {
		if l.swept {
			_ = l.conn.Close()
			continue
		}
		l.swept = true
		kept = append(kept, l)
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	if len(kept) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(idleTimeout)
}

func (p *pool) dial(ctx context.Context) (*link, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", p.socket)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn.(*net.UnixConn), in: make([]byte, usualBuffer)}
	if l.raw, err = l.conn.SyscallConn(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = l.conn.SetDeadline(time.Now().Add(answerTimeout))
	l.interrupt = func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) }
	l.look = func(fd uintptr) bool {
		// The descriptor does not block: what is not there yet is EAGAIN, and anything else is no connection to ask over.
		_, err := syscall.Read(int(fd), l.in[:1])
		l.quiet = errors.Is(err, syscall.EAGAIN)
		return true
	}
	return l, nil
}

// link is one connection with its buffers; one request uses it at a time.
type link struct {
	conn      *net.UnixConn
	raw       syscall.RawConn
	in, out   []byte
	quiet     bool
	swept     bool
	look      func(fd uintptr) bool // kept, as is interrupt, so that no request makes one anew
	interrupt func()
}

// isQuiet tells whether the link can be asked over: open, and with nothing on it that nobody asked for, which would be
// taken for the next answer.
func (l *link) isQuiet() bool {
	l.swept = false
	if l.conn.SetDeadline(time.Now().Add(answerTimeout)) != nil {
		return false
	}
	l.quiet = false
	return l.raw.Read(l.look) == nil && l.quiet
}

// ask writes the question and reads the answer. heard tells that an octet of one came, ends that there is none after it.
func (l *link) ask(r *http.Request, vars map[string]any) (said answer, ends, heard bool, err error) {
	if l.out, err = appendQuestion(l.out[:0], r, vars); err != nil {
		return said, false, false, err
	}
	if _, err = l.conn.Write(l.out); err != nil {
		return said, false, false, err
	}
	have, head := 0, 0
	for head == 0 {
		if have == len(l.in) && !l.grow(mostHead) {
			return said, false, true, errNoAnswer
		}
		got, err := l.conn.Read(l.in[have:])
		if err != nil {
			return said, false, have > 0, err
		}
		from := max(0, have-3)
		have += got
		if end := bytes.Index(l.in[from:have], headEnd); end >= 0 {
			head = from + end + len(headEnd)
		}
	}
	said, length, ends, err := parse(string(l.in[:head]))
	if err != nil {
		return said, false, true, err
	}
	for have < head+length {
		if have == len(l.in) && !l.grow(mostHead+mostBody) {
			return said, false, true, errNoAnswer
		}
		got, err := l.conn.Read(l.in[have:])
		if err != nil {
			return said, false, true, err
		}
		have += got
	}
	if have > head+length { // nobody asked for more: this may be no answer to us
		return said, false, true, errNoAnswer
	}
	if length > 0 {
		said.body = bytes.Clone(l.in[head:have])
	}
	return said, ends, true, nil
}

var headEnd = []byte("\r\n\r\n")

func (l *link) grow(most int) bool {
	if len(l.in) >= most {
		return false
	}
	larger := make([]byte, min(2*len(l.in), most))
	copy(larger, l.in)
	l.in = larger
	return true
}
