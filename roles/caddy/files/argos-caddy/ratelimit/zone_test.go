package ratelimit

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAFloodOfKeysIsBoundedAndTakesNoRoomFromOtherZones(t *testing.T) {
	s := &store{most: 1000}
	quiet, flooded := s.open(), s.open()
	l := limit{1, 3600 * second}
	for key := range uint64(100) {
		quiet.take(key, l, 0)
	}
	for key := range uint64(50_000) {
		flooded.take(key, l, int64(key))
	}
	if keys := s.keys.Load(); keys != 1000 {
		t.Errorf("%d keys are kept", keys)
	}
	if forgotten := s.forgotten.Load(); forgotten != 50_100-1000 {
		t.Errorf("%d keys were forgotten for want of room", forgotten)
	}
	for key := range uint64(100) {
		if quiet.take(key, l, 1) == 0 {
			t.Fatalf("key %d of the quiet zone was forgotten", key)
		}
	}
	// Whoever goes on is not the one that is forgotten.
	for key := range uint64(5000) {
		flooded.take(100_000+key, l, int64(key))
		if wait := flooded.take(49_999, l, int64(key)); wait == 0 {
			t.Fatal("the flood's own limit was reset by itself")
		}
	}
	// A zone that comes when all is full gets its share.
	late := s.open()
	for key := range uint64(300) {
		late.take(key, l, 2)
	}
	if size := late.size.Load(); size != 300 {
		t.Errorf("the late zone has %d of its 300 keys", size)
	}
	for _, z := range []*zone{quiet, flooded, late} {
		if int(z.size.Load()) != len(z.clients) {
			t.Error("a zone miscounts its keys")
		}
		_ = z.Destruct()
	}
	if s.keys.Load() != 0 || len(s.zones) != 0 {
		t.Errorf("%d keys are left of %d zones", s.keys.Load(), len(s.zones))
	}
	if flooded.take(1, l, 3) != 0 || s.keys.Load() != 0 {
		t.Error("a request that outlived its zone was refused or kept")
	}
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	s := &store{most: 100_000}
	z := s.open()
	l := limit{2, 10 * second}
	for key := range uint64(5000) {
		z.take(key, l, 0)
	}
	z.sweep(9 * second)
	if len(z.clients) != 5000 {
		t.Fatalf("%d clients are left of a window that is not over", len(z.clients))
	}
	z.take(7, l, 9*second)
	for range 6 {
		z.sweep(11 * second)
	}
	if len(z.clients) != 1 || s.keys.Load() != 1 {
		t.Errorf("%d clients are left, and %d keys", len(z.clients), s.keys.Load())
	}
	z.sweep(20 * second)
	if len(z.clients) != 0 || z.swept != nil || z.newest != nil {
		t.Error("an empty zone holds something, or is swept on")
	}
	// Requests alone do it too, as fast as new keys come.
	for key := range uint64(1000) {
		z.take(key, l, 30*second)
	}
	for key := range uint64(1000) {
		z.take(10_000+key, l, 50*second)
	}
	if len(z.clients) > 1000 {
		t.Errorf("%d clients are left after as many requests", len(z.clients))
	}
	_ = z.Destruct()
}

func TestAZoneIsSweptByItself(t *testing.T) {
	s := &store{most: 10}
	z := s.open()
	z.take(1, limit{1, 1}, now())
	for deadline := time.Now().Add(30 * time.Second); s.keys.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody swept it")
		}
	}
	_ = z.Destruct()
}

func TestManyAtOnceAreCountedEachOnce(t *testing.T) {
	s := &store{most: 50}
	zones := []*zone{s.open(), s.open()}
	var passed atomic.Int64
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 2000 {
				if zones[0].take(1, limit{100, 3600 * second}, second) == 0 {
					passed.Add(1)
				}
				zones[1].take(uint64(worker*10_000+i), limit{100, 3600 * second}, second)
			}
		})
	}
	all.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d of 100 were let in", passed.Load())
	}
	if keys := s.keys.Load(); keys > 50 || int(keys) != len(zones[0].clients)+len(zones[1].clients) {
		t.Errorf("%d keys are counted, %d and %d held", keys, len(zones[0].clients), len(zones[1].clients))
	}
	for _, z := range zones {
		_ = z.Destruct()
	}
}

func TestAllKeysTogetherTakeLessThan50MB(t *testing.T) {
	s := &store{most: mostKeys}
	z := s.open()
	before := heap()
	l := limit{2000, 60 * second}
	for at := range int64(slots) { // every bucket of every key is in use
		for key := range uint64(mostKeys) {
			z.take(key<<32|1, l, at*3*second)
		}
	}
	used := int64(heap()) - int64(before)
	if buckets := len(z.newest.buckets); buckets < slots {
		t.Errorf("only %d buckets are in use", buckets)
	}
	if used > 50<<20 {
		t.Errorf("%d MB, %d bytes a key", used>>20, used/mostKeys)
	}
	t.Logf("%d bytes a key", used/mostKeys)
	runtime.KeepAlive(z)
	_ = z.Destruct()
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
