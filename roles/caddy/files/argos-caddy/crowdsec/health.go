package crowdsec

import (
	"sync"
	"sync/atomic"
	"time"

	"argos-caddy/counters"
)

// published is the bouncer that GET /argos/crowdsec tells about.
var published atomic.Pointer[bouncer]

// refused counts requests answered 403, over reloads.
var refused atomic.Int64

// health is what the bouncer knows about LAPI.
type health struct {
	mu         sync.Mutex
	err        string
	errSince   time.Time
	complained time.Time
	lastGood   time.Time
	polls      int64
	failures   int64
	ignored    int
	saveErr    string
}

// good notes an answer, and returns the error that it ends.
func (h *health) good(now time.Time, ignored int) (was string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, h.err = h.err, ""
	h.polls++
	h.lastGood, h.ignored = now, ignored
	return was
}

// bad notes a failure, and tells whether to log it: when it is a new one, and now and then.
func (h *health) bad(now time.Time, err string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polls++
	h.failures++
	if h.err == "" {
		h.errSince = now
	}
	fresh := err != h.err || now.Sub(h.complained) >= complainAgain
	if fresh {
		h.complained = now
	}
	h.err = err
	return fresh
}

// saved notes how saving went, and tells whether to log it.
func (h *health) saved(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.saveErr
	h.saveErr = ""
	if err != nil {
		h.saveErr = err.Error()
	}
	return h.saveErr != "" && h.saveErr != was
}

// Report is the answer of GET /argos/crowdsec.
type Report struct {
	Running   bool `json:"running"` // the configuration has the app crowdsec
	Decisions int  `json:"decisions"`
	// SecondsSinceAnswer is the age of LAPI's last good answer; null when there was none since Caddy started.
	SecondsSinceAnswer *int64 `json:"seconds_since_answer"`
	Error              string `json:"error"`       // why LAPI cannot be asked, empty when it can
	ErrorFor           int64  `json:"error_for"`   // seconds
	StateError         string `json:"state_error"` // why decisions cannot be saved
	Polls              int64  `json:"polls"`
	Failures           int64  `json:"failures"`
	Ignored            int    `json:"ignored"`  // of the last answer: no bans of addresses
	LeftOut            int    `json:"left_out"` // bans that found no room in the table
	Most               int    `json:"most"`     // bans that have room
	Refused            int64  `json:"refused"`  // requests answered 403
}

func init() { counters.Publish("crowdsec", func() any { return report() }) }

func report() Report {
	b := published.Load()
	if b == nil {
		return Report{Refused: refused.Load()}
	}
	h, now := &b.health, b.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	d := b.table.Load()
	r := Report{Running: true, Decisions: d.size(), Error: h.err, StateError: h.saveErr, Polls: h.polls,
		Failures: h.failures, Ignored: h.ignored, LeftOut: d.leftOut, Most: mostBans, Refused: refused.Load()}
	if !h.lastGood.IsZero() {
		age := int64(now.Sub(h.lastGood).Seconds())
		r.SecondsSinceAnswer = &age
	}
	if h.err != "" {
		r.ErrorFor = int64(now.Sub(h.errSince).Seconds())
	}
	return r
}
