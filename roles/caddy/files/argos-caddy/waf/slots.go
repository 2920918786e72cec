package waf

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// slotWait is how long a request waits for its turn before it is answered 503.
const slotWait = 2 * time.Second

// slots bound what is inspected at once: a body costs milliseconds of CPU per KB, and 64 KB bodies from a few clients
// would otherwise stop everyone. Who needs several takes them in one order: a host's own first, then its policy's, then
// the process's.
type slots []chan struct{}

var (
	slotsMu sync.Mutex
	// process is the limit of all policies together.
	process  = make(chan struct{}, max(2, 2*runtime.GOMAXPROCS(0)))
	slotsFor = map[slotsKey]chan struct{}{} // kept over reloads, so that a reload is no way round a limit
)

type slotsKey struct {
	policy string
	size   int
}

// slotsOf returns the process's slots, behind a policy's own n if it has such.
func slotsOf(policy string, n int) slots {
	if n == 0 {
		return slots{process}
	}
	slotsMu.Lock()
	defer slotsMu.Unlock()
	key := slotsKey{policy, n}
	if slotsFor[key] == nil {
		slotsFor[key] = make(chan struct{}, n)
	}
	return slots{slotsFor[key], process}
}

// acquire returns false when no slot came free in time, or the client left.
func (s slots) acquire(ctx context.Context) bool {
	var timeout <-chan time.Time
	for i, c := range s {
		select {
		case c <- struct{}{}:
			continue
		default:
		}
		if timeout == nil {
			t := time.NewTimer(slotWait)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case c <- struct{}{}:
			continue
		case <-timeout:
		case <-ctx.Done():
		}
		s[:i].release()
		return false
	}
	return true
}

func (s slots) release() {
	for _, c := range s {
		<-c
	}
}
