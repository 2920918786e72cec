package waf

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// slotWait is how long a request waits for its turn before it is answered 503.
const slotWait = 2 * time.Second

// slots bounds how many bodies are inspected at once, in all handlers of the process together: inspection costs about
// 4 ms of CPU per KB, and 64 KB bodies from a few clients would otherwise stop everyone.
type slots chan struct{}

var (
	slotsMu sync.Mutex
	slotsBy = map[int]slots{} // by size; handlers of one configuration all name the same size
)

func sharedSlots(n int) slots {
	if n <= 0 {
		n = max(2, 2*runtime.GOMAXPROCS(0))
	}
	slotsMu.Lock()
	defer slotsMu.Unlock()
	if slotsBy[n] == nil {
		slotsBy[n] = make(slots, n)
	}
	return slotsBy[n]
}

// acquire returns false when no slot came free in time, or the client left.
func (s slots) acquire(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(slotWait)
	defer t.Stop()
	select {
	case s <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (s slots) release() { <-s }
