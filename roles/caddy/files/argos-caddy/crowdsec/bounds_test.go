package crowdsec

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/models"
	"go.uber.org/zap"
)

func changed(t *testing.T, d *decisions, answer *models.DecisionsStreamResponse, full bool, now time.Time) (*decisions, int) {
	t.Helper()
	after, ignored, err := d.changed(t.Context(), answer, full, now)
	if err != nil {
		t.Fatal(err)
	}
	return after, ignored
}

// flood is decisions of one origin with the ids from first, each at the address that place gives for its number.
func flood(origin string, first int64, count int, place func(int) string) []*models.Decision {
	kind, duration := "ban", "4h"
	made := make([]*models.Decision, count)
	for i := range made {
		value := place(i)
		made[i] = &models.Decision{ID: first + int64(i), Type: &kind, Duration: &duration, Value: &value, Origin: &origin}
	}
	return made
}

func apart(high byte) func(int) string {
	return func(i int) string { return fmt.Sprintf("%d.%d.%d.%d", high, byte(i>>16), byte(i>>8), byte(i)) }
}

func together(int) string { return "203.0.113.7" }

// DEP-4: decisions on one address cost no more each than decisions on as many.
// threat: DEP-4
func TestAHundredThousandDecisionsOnOneAddressAreHandledPromptly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // copying the list for each took longer by far
	defer cancel()
	many := flood("crowdsec", 1, 100_000, together)
	d, _, err := noDecisions().changed(ctx, &models.DecisionsStreamResponse{New: many}, true, now)
	if err != nil || d.size() != len(many) || !d.banned(netip.MustParseAddr("203.0.113.7"), now) {
		t.Fatalf("%d held, %v", d.size(), err)
	}
	d, _, err = d.changed(ctx, &models.DecisionsStreamResponse{Deleted: many[1:]}, false, now)
	if err != nil || d.size() != 1 || !d.banned(netip.MustParseAddr("203.0.113.7"), now) {
		t.Fatalf("%d held after all but one were taken back, %v", d.size(), err)
	}
	whole := flood("", 0, 1, together) // without an id: the whole address
	whole[0].ID = 0
	d, _ = changed(t, d, &models.DecisionsStreamResponse{Deleted: whole}, false, now)
	if d.size() != 0 || d.banned(netip.MustParseAddr("203.0.113.7"), now) {
		t.Errorf("%d held after the address was let go", d.size())
	}
	whole[0].ID = 0
	for range 3 {
		d, _ = changed(t, d, &models.DecisionsStreamResponse{New: whole}, false, now)
	}
	if d.size() != 1 {
		t.Errorf("one decision without an id, told thrice, is %d", d.size())
	}
}

// DEP-4, DAT-4: answer upon answer, the table stays within its bound; what stands is not driven out, and bans made here
// find room beside shared lists.
// threat: DEP-4, DAT-4
func TestSuccessiveAnswersStayAtTheCap(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d, _ := changed(t, noDecisions(), &models.DecisionsStreamResponse{New: flood("CAPI", 1, 10, apart(9))}, true, now)
	sent := 10
	for round := range 3 {
		lists := flood("lists:firehol", int64(1_000_000*(round+1)), 100_000, apart(byte(10+round)))
		d, _ = changed(t, d, &models.DecisionsStreamResponse{New: lists}, false, now)
		sent += len(lists)
	}
	if d.size() != mostShared || d.leftOut != sent-mostShared {
		t.Fatalf("%d held, %d left out, want %d and %d", d.size(), d.leftOut, mostShared, sent-mostShared)
	}
	own := flood("cscli", 9_000_001, mostBans, apart(20))
	d, _ = changed(t, d, &models.DecisionsStreamResponse{New: own}, false, now)
	sent += len(own)
	if d.size() != mostBans || d.leftOut != sent-mostBans {
		t.Fatalf("%d held, %d left out, want %d and %d", d.size(), d.leftOut, mostBans, sent-mostBans)
	}
	stands := []string{"9.0.0.9", "10.0.0.1", "10.1.134.159", "20.0.0.0"}
	for _, address := range stands {
		if !d.banned(netip.MustParseAddr(address), now) {
			t.Errorf("%s was driven out", address)
		}
	}
	// Everything told anew, with a flood of new ids before what stands.
	everything := append(flood("cscli", 20_000_000, mostBans, apart(30)), flood("CAPI", 1, 10, apart(9))...)
	d, _ = changed(t, d, &models.DecisionsStreamResponse{New: everything}, true, now)
	if d.size() != mostBans || !d.banned(netip.MustParseAddr("9.0.0.9"), now) || d.leftOut != 10 {
		t.Errorf("%d held, %d left out", d.size(), d.leftOut)
	}
	// One that is known already moves or lasts longer without room being looked for.
	d, _ = changed(t, d, &models.DecisionsStreamResponse{New: flood("CAPI", 1, 1, apart(99))}, false, now)
	if d.size() != mostBans || !d.banned(netip.MustParseAddr("99.0.0.0"), now) || d.banned(netip.MustParseAddr("9.0.0.0"), now) {
		t.Error("a decision that LAPI changed is as it was")
	}
	// What has ended makes room.
	d, _ = changed(t, d, &models.DecisionsStreamResponse{New: flood("CAPI", 30_000_000, 1, apart(40))}, false, now.Add(5*time.Hour))
	if d.size() != 1 || !d.banned(netip.MustParseAddr("40.0.0.0"), now.Add(5*time.Hour)) {
		t.Errorf("%d held after all had ended", d.size())
	}
}

// The state file of a full table fits, and keeps who may take which part.
func TestAFullTableIsSavedAndReadBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	state := filepath.Join(t.TempDir(), "decisions.json")
	d, _ := changed(t, noDecisions(), &models.DecisionsStreamResponse{
		New: append(flood("CAPI", 1, mostBans, apart(10)), flood("crowdsec", 1_000_000, 10, apart(20))...)}, true, now)
	if err := d.save(state, now); err != nil {
		t.Fatal(err)
	}
	back, err := load(state, now)
	if err != nil || back.size() != d.size() || back.shared != mostShared || !back.banned(netip.MustParseAddr("20.0.0.9"), now) {
		t.Fatalf("%d of %d read back, %d shared, %v", back.size(), d.size(), back.shared, err)
	}
}

// A reload or a stop waits for no table that is being made; the bans that stood stay in force meanwhile.
// threat: DEP-4
func TestAnEndIsNotHeldUpByATableBeingMade(t *testing.T) {
	t.Parallel()
	now := time.Now()
	before, _ := changed(t, noDecisions(), &models.DecisionsStreamResponse{New: flood("cscli", 1, 1, together)}, true, now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	many := &models.DecisionsStreamResponse{New: flood("cscli", 10, 10*checkEvery, apart(10))}
	for _, full := range []bool{true, false} {
		after, _, err := before.changed(ctx, many, full, now)
		if err == nil || after != before {
			t.Errorf("full %v: went on to %d decisions, %v", full, after.size(), err)
		}
	}

	// And the whole bouncer, while LAPI floods it.
	body, err := json.Marshal(map[string]any{"new": flood("cscli", 1, 200_000, together), "deleted": nil})
	if err != nil {
		t.Fatal(err)
	}
	lapi := newTestLAPI(t)
	asked := make(chan struct{}, 100)
	lapi.breakWith(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body)
		asked <- struct{}{}
	})
	b := newBouncer(lapi.URL, "", zap.NewNop())
	b.run(settings{key: "right", interval: time.Second})
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- b.Destruct() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute): // it took hours
		t.Error("Destruct waits for the table")
	}
}

// What found no room is told, and asked for again once there may be some.
// threat: DAT-4
func TestBansThatAreLeftOutAreReportedAndAskedForAgain(t *testing.T) {
	lapi := newTestLAPI(t)
	body, err := json.Marshal(map[string]any{"new": flood("CAPI", 1, mostShared+7, apart(10)), "deleted": nil})
	if err != nil {
		t.Fatal(err)
	}
	lapi.breakWith(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("startup") == "true" {
			_, _ = w.Write(body)
			return
		}
		_, _ = w.Write([]byte(`{"new": null, "deleted": null}`))
	})
	b := newBouncer(lapi.URL, "", zap.NewNop())
	b.timeout = patience // an answer of this length takes long under the race detector, and would be asked for again
	clock := make(chan time.Duration, 1)
	clock <- 0
	b.now = func() time.Time { ahead := <-clock; clock <- ahead; return time.Now().Add(ahead) }
	b.run(settings{key: "right", interval: time.Second})
	defer func() { _ = b.Destruct() }()
	within(t, "what is left out is reported", func() bool { return report().LeftOut == 7 })
	if r := report(); r.Decisions != mostShared || r.Most != mostBans {
		t.Errorf("%+v", r)
	}
	asked := func() (full int) {
		for _, q := range lapi.queries() {
			if strings.Contains(q, "startup=true") {
				full++
			}
		}
		return full
	}
	within(t, "further polls", func() bool { return len(lapi.queries()) >= 3 })
	if asked() != 1 {
		t.Errorf("everything was asked for %d times within seconds", asked())
	}
	clock <- <-clock + askAllAgain
	within(t, "everything is asked for again", func() bool { return asked() == 2 })
}
