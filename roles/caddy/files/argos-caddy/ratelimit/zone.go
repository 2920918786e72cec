package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// mostKeys bounds what all zones remember together, some 45 MB: whoever has many addresses (an IPv6 /48 is 65536
// networks of /64), or may write any value into the header that is counted, makes Caddy grow no further. Over it the
// zone with most keys forgets the one that was longest not seen, so a flood on one host resets no other's limits.
const mostKeys = 100_000

const sweepAtOnce = 1000 // keys, in one go under a zone's lock

// store is every zone of the process: two configurations share them over a reload.
type store struct {
	most      int64
	keys      atomic.Int64
	forgotten atomic.Uint64
	refused   atomic.Uint64

	mu    sync.RWMutex
	zones []*zone
}

var remembered = &store{most: mostKeys}

var begun = time.Now()

// now is a time that no clock that is set can move.
func now() int64 { return int64(time.Since(begun)) }

// zone is the clients of one limit, by the hash of their key.
type zone struct {
	store *store
	size  atomic.Int64

	mu      sync.Mutex
	clients map[uint64]*client
	newest  *client
	oldest  *client
	window  int64       // of the configuration that asked last
	swept   *time.Timer // set while it holds anybody
	closed  bool
}

func (s *store) open() *zone {
	z := &zone{store: s, clients: map[uint64]*client{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones = append(s.zones, z)
	return z
}

// Destruct forgets a zone that no configuration has any more.
func (z *zone) Destruct() error {
	s := z.store
	s.mu.Lock()
	for i, one := range s.zones {
		if one == z {
			s.zones = append(s.zones[:i], s.zones[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	z.mu.Lock()
	defer z.mu.Unlock()
	z.closed = true
	s.keys.Add(-int64(len(z.clients)))
	z.size.Store(0)
	z.clients, z.newest, z.oldest = nil, nil, nil
	if z.swept != nil {
		z.swept.Stop()
	}
	return nil
}

// take counts a request of `key` at `now`; it returns 0, or the nanoseconds to wait.
func (z *zone) take(key uint64, l limit, now int64) int64 {
	wait, fresh := z.count(key, l, now)
	if wait > 0 {
		z.store.refused.Add(1)
	}
	if fresh {
		z.store.makeRoom(z)
	}
	return wait
}

func (z *zone) count(key uint64, l limit, now int64) (wait int64, fresh bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed { // a request that outlived its configuration
		return 0, false
	}
	z.window = l.window
	c, known := z.clients[key]
	if known {
		z.unlink(c)
	} else {
		c = &client{key: key}
		z.clients[key] = c
		z.size.Add(1)
		z.store.keys.Add(1)
	}
	z.toFront(c)
	if z.swept == nil {
		z.sweepIn(time.Duration(z.window))
	}
	wait = c.take(l, now)
	z.forgetOver(now, 2) // a little more than comes in, so that a long flood stays in its bounds by itself
	return wait, !known
}

func (z *zone) toFront(c *client) {
	c.older, c.newer = z.newest, nil
	if z.newest != nil {
		z.newest.newer = c
	}
	z.newest = c
	if z.oldest == nil {
		z.oldest = c
	}
}

func (z *zone) unlink(c *client) {
	if c.newer == nil {
		z.newest = c.older
	} else {
		c.newer.older = c.older
	}
	if c.older == nil {
		z.oldest = c.newer
	} else {
		c.older.newer = c.newer
	}
}

// forgetOver lets go of at most `most` clients, those longest not seen, of whom nothing counts any more.
func (z *zone) forgetOver(now int64, most int) (forgotten int) {
	for forgotten < most && z.oldest != nil && z.oldest.over(now-z.window) {
		z.forgetOldest()
		forgotten++
	}
	return forgotten
}

func (z *zone) forgetOldest() {
	c := z.oldest
	z.unlink(c)
	delete(z.clients, c.key)
	z.size.Add(-1)
	z.store.keys.Add(-1)
}

// sweepIn has the zone swept after a while: one that nobody asks any more gives its memory back too.
func (z *zone) sweepIn(wait time.Duration) {
	z.swept = time.AfterFunc(max(wait, time.Second), func() { z.sweep(now()) })
}

func (z *zone) sweep(now int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return
	}
	full := z.forgetOver(now, sweepAtOnce) == sweepAtOnce
	switch {
	case z.oldest == nil:
		z.swept = nil
		z.clients = map[uint64]*client{} // a map never shrinks by itself
	case full:
		z.sweepIn(0)
	default:
		z.sweepIn(time.Duration(z.window))
	}
}

// makeRoom keeps the bound after a key came to `z`.
func (s *store) makeRoom(z *zone) {
	for s.keys.Load() > s.most {
		largest := s.largest(z)
		largest.mu.Lock()
		there := largest.oldest != nil
		if there {
			largest.forgetOldest()
		}
		largest.mu.Unlock()
		if !there { // emptied meanwhile, and the count with it
			return
		}
		s.forgotten.Add(1)
	}
}

// largest is a zone that has no less than its share; in a flood that is `z` itself.
func (s *store) largest(z *zone) *zone {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if z.size.Load()*int64(len(s.zones)) >= s.most {
		return z
	}
	for _, one := range s.zones {
		if one.size.Load() > z.size.Load() {
			z = one
		}
	}
	return z
}
