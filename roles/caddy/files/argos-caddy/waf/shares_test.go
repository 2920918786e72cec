package waf

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// full takes every place of a share until the test ends.
func full(t *testing.T, share chan struct{}) {
	t.Helper()
	for range cap(share) {
		if !(slots{share}).acquire(t.Context()) {
			t.Fatal("no place")
		}
	}
	t.Cleanup(func() {
		for range cap(share) {
			<-share
		}
	})
}

func smallBody(t *testing.T, e *edge) int {
	return e.send(t, "POST", "/", "application/json", strings.NewReader(`{"a": 1}`)).StatusCode
}

func named(host string) option { return func(s *setup) { s.Host = host } }

// ING-8: whatever of the engine a flooded host holds, the others have their turns.
func TestAHostThatIsFloodedHoldsItsOwnTurnsOnly(t *testing.T) {
	flooded, other := serve(t, "On", nil, named("flooded.home.example")), serve(t, "On", nil, named("other.home.example"))
	full(t, flooded.h.shares.requests)
	if got := other.send(t, "GET", "/", "", nil).StatusCode; got != 200 {
		t.Errorf("another host's GET: %d, want 200", got)
	}
	if got := smallBody(t, other); got != 200 {
		t.Errorf("another host's body: %d, want 200", got)
	}
	if got := flooded.send(t, "GET", "/", "", nil).StatusCode; got != 503 {
		t.Errorf("the flooded host's GET: %d, want 503 and never uninspected", got)
	}
}

// ING-8: bodies take long. A host that is flooded with them leaves the process's places to others, and answers GETs.
func TestAHostThatIsFloodedWithBodiesLeavesPlacesToOthers(t *testing.T) {
	flooded, other := serve(t, "On", nil, named("bodies.home.example")), serve(t, "On", nil, named("beside.home.example"))
	full(t, flooded.h.shares.bodies)
	for e, want := range map[*edge]int{flooded: 503, other: 200} {
		if got := smallBody(t, e); got != want {
			t.Errorf("%s: a body is answered %d, want %d", e.h.HostID, got, want)
		}
	}
	if got := flooded.send(t, "GET", "/", "", nil).StatusCode; got != 200 {
		t.Errorf("the flooded host's GET: %d, want 200", got)
	}
	if share := cap(flooded.h.shares.bodies); share != runtime.GOMAXPROCS(0) || share >= cap(process) {
		t.Errorf("a host may take %d of the process's %d places", share, cap(process))
	}
}

// ING-8: on a core that a flood's inspections share with other work, they do not follow one another while it waits.
func TestInspectionsInTurnLetOthersRunBetween(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	turn := slots{make(chan struct{}, 1)}
	var inARow, longest atomic.Int64 // of inspections
	var over atomic.Bool
	var flood, others sync.WaitGroup
	others.Go(func() {
		for !over.Load() {
			inARow.Store(0)
			runtime.Gosched()
		}
	})
	for range 40 {
		flood.Go(func() {
			in := &inspection{r: httptest.NewRequest("GET", "/", nil)}
			err := in.inTurn(turn, func() error {
				longest.Store(max(longest.Load(), inARow.Add(1)))
				for begun := time.Now(); time.Since(begun) < time.Millisecond; {
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	flood.Wait()
	over.Store(true)
	others.Wait()
	if n := longest.Load(); n > 3 {
		t.Errorf("%d inspections in a row while others waited", n)
	}
}

// A reload is no way to more turns, and a host that is gone leaves none behind.
func TestSharesOutliveAReloadAndNoHost(t *testing.T) {
	before := sharesOf("reloaded.home.example")
	if again := sharesOf("reloaded.home.example"); again != before {
		t.Error("a reload made new turns")
	}
	for range 2 {
		if _, err := sharesByHost.Delete("reloaded.home.example"); err != nil {
			t.Fatal(err)
		}
	}
	if _, held := sharesByHost.References("reloaded.home.example"); held {
		t.Error("turns are kept for a host that no configuration names")
	}
}
