package ratelimit

import (
	"math/rand"
	"testing"
	"time"
)

const second = int64(time.Second)

func TestNeverMoreThanIsAllowedInAnyWindowAndHardlyLess(t *testing.T) {
	for _, l := range []limit{{1, second}, {5, 7 * second}, {20, second}, {21, second}, {100, 60 * second}, {2000, 3600 * second}} {
		random := rand.New(rand.NewSource(int64(l.most)))
		c := new(client)
		var passed []int64
		now := int64(0)
		for range 20_000 {
			// Bursts, trickles and pauses.
			now += random.Int63n(1 + []int64{0, l.window / int64(l.most), l.window / 3}[random.Intn(3)])
			wait := c.take(l, now)
			recent := count(passed, now-l.window)
			if wait == 0 {
				passed = append(passed, now)
				if recent+1 > int(l.most) {
					t.Fatalf("%v: %d within a window", l, recent+1)
				}
			} else {
				late := int64(0)
				if l.most > slots {
					late = l.window / slots
				}
				if count(passed, now-l.window-late) < int(l.most) {
					t.Fatalf("%v: refused with %d within a window and a slot", l, count(passed, now-l.window-late))
				}
				if wait > l.window+late {
					t.Fatalf("%v: has to wait %v", l, time.Duration(wait))
				}
			}
			if len(c.buckets) > slots+1 {
				t.Fatalf("%v: %d buckets", l, len(c.buckets))
			}
		}
		if len(passed) < int(l.most)*3 {
			t.Fatalf("%v: only %d passed", l, len(passed))
		}
	}
}

// count tells how many of `times` are after `before`.
func count(times []int64, before int64) int {
	n := 0
	for i := len(times) - 1; i >= 0 && times[i] > before; i-- {
		n++
	}
	return n
}

func TestWhoeverWaitsAsToldIsLetInAndNobodySooner(t *testing.T) {
	for _, l := range []limit{{3, 10 * second}, {500, 60 * second}} {
		c, now := new(client), int64(123456789)
		for range 5000 {
			wait := c.take(l, now)
			if wait == 0 {
				now += 1_000_000
				continue
			}
			if early := c.take(l, now+wait-1); early != 1 {
				t.Fatalf("%v: a nanosecond early, it is told to wait %d ns", l, early)
			}
			now += wait
			if again := c.take(l, now); again != 0 {
				t.Fatalf("%v: after its wait it is told to wait %v", l, time.Duration(again))
			}
		}
	}
}

func TestALimitThatChangesCountsWhatCameBefore(t *testing.T) {
	c := new(client)
	for range 10 {
		c.take(limit{10, 60 * second}, second)
	}
	if wait := c.take(limit{5, 60 * second}, 2*second); wait != 59*second {
		t.Errorf("a lower limit: wait %v", time.Duration(wait))
	}
	if wait := c.take(limit{11, 60 * second}, 2*second); wait != 0 {
		t.Errorf("a higher limit: wait %v", time.Duration(wait))
	}
	// Whatever it changes to, in whatever order: it stays small, and holds what it counts.
	random, now := rand.New(rand.NewSource(1)), int64(0)
	for range 50_000 {
		l := limit{1 + uint32(random.Intn(60)), second << random.Intn(12)}
		now += random.Int63n(second)
		c.take(l, now)
		held := uint32(0)
		for i, b := range c.buckets {
			held += b.count
			if i > 0 && c.buckets[i-1].at > b.at {
				t.Fatal("not in order")
			}
		}
		if held != c.total || len(c.buckets) > slots+1 {
			t.Fatalf("%d buckets hold %d of %d", len(c.buckets), held, c.total)
		}
	}
}
