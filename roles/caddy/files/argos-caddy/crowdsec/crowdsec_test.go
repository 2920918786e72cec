package crowdsec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/models"
	"go.uber.org/zap"
)

// ING-3
func TestBansOfAddressesAndRangesComeAndGo(t *testing.T) {
	t.Parallel()
	lapi := newTestLAPI(t)
	first := lapi.ban("203.0.113.7", "4h")
	l := start(t, lapi.URL, "right", "")
	l.eventually(t, "203.0.113.7", 403)
	block := lapi.ban("198.51.100.0/24", "1h")
	six := lapi.ban("2001:db8:1::/48", "1h")
	lapi.decide("203.0.113.99", "1h", "captcha")
	l.eventually(t, "198.51.100.200", 403)
	for address, want := range map[string]int{"2001:db8:1:2::3": 403, "2001:db8:2::1": 200, "198.51.101.1": 200, "203.0.113.8": 200,
		"::ffff:203.0.113.7": 403, "203.0.113.99": 200, "fe80::1%eth0": 200, "": 200, "@": 200} {
		if got := l.status(address); got != want {
			t.Errorf("%q: %d, want %d", address, got, want)
		}
	}
	for _, id := range []int64{first, block, six} {
		lapi.unban(id)
	}
	for _, address := range []string{"203.0.113.7", "198.51.100.200", "2001:db8:1:2::3"} {
		l.eventually(t, address, 200)
	}
	for i, q := range lapi.queries() {
		if full := strings.Contains(q, "startup=true"); full != (i == 0) || !strings.Contains(q, "dedup=false") || !strings.Contains(q, "scopes=ip%2Crange") {
			t.Errorf("poll %d asked %s", i, q)
		}
	}
}

// ING-3
func TestDeletingOneOfTwoDecisionsKeepsTheOther(t *testing.T) {
	t.Parallel()
	lapi := newTestLAPI(t)
	long, short := lapi.ban("203.0.113.7", "4h"), lapi.ban("203.0.113.7", "1h")
	l := start(t, lapi.URL, "right", "")
	l.eventually(t, "203.0.113.7", 403)
	lapi.unban(long)
	within(t, "one decision", func() bool { return l.app.bouncer.table.Load().size() == 1 })
	if got := l.status("203.0.113.7"); got != 403 {
		t.Errorf("after the first deletion: %d, want 403", got)
	}
	lapi.unban(short)
	l.eventually(t, "203.0.113.7", 200)
}

// ING-3, DEP-4: LAPI away, garbled, endless, slow or hostile: known bans stay, everyone else passes, and it recovers.
func TestABadLAPIChangesNothing(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]http.HandlerFunc{
		"garbage":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>not JSON")) },
		"empty":       func(http.ResponseWriter, *http.Request) {},
		"no content":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"wrong shape": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"new": "all", "deleted": 7}`)) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"new": [], "deleted": [{"id": 1, "value": "203.0.113.7"`))
		},
		"server error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"forbidden":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://203.0.113.1/", http.StatusFound)
		},
		"many objects": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"new":[` + strings.Repeat(`{},`, answerObjects+1) + `{}]}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lapi := newTestLAPI(t)
			lapi.ban("203.0.113.7", "4h")
			l := start(t, lapi.URL, "right", "")
			l.eventually(t, "203.0.113.7", 403)
			lapi.breakWith(bad)
			h := &l.app.bouncer.health
			within(t, "a failure is noted", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.err != "" })
			if l.status("203.0.113.7") != 403 || l.status("203.0.113.8") != 200 {
				t.Error("a bad answer changed who may pass")
			}
			asked := len(lapi.queries())
			lapi.breakWith(nil)
			lapi.ban("203.0.113.8", "4h")
			l.eventually(t, "203.0.113.8", 403)
			within(t, "health is good again", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.err == "" })
			if q := lapi.queries()[asked:]; !strings.Contains(strings.Join(q, " "), "startup=true") {
				t.Errorf("after a failure everything must be asked for again: %v", q)
			}
		})
	}
}

// DEP-4
func TestAnAnswerThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, drip := range map[string]func(w http.ResponseWriter) bool{
		"slow": func(w http.ResponseWriter) bool {
			time.Sleep(20 * time.Millisecond)
			_, err := w.Write([]byte(" "))
			return err == nil && http.NewResponseController(w).Flush() == nil
		},
		"endless": func(w http.ResponseWriter) bool {
			_, err := w.Write(bytes.Repeat([]byte(" "), 1<<20))
			return err == nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for drip(w) {
				}
			}))
			defer s.Close()
			client, err := newLAPI(s.URL, "right", 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			if _, _, err := client.decisions(context.Background(), true); err == nil {
				t.Error("an endless answer was taken")
			}
			if took := time.Since(started); took > 30*time.Second {
				t.Errorf("given up after %s", took)
			}
			if client.status.bytes > answerBytes+1<<20 {
				t.Errorf("%d bytes were read", client.status.bytes)
			}
		})
	}
}

// ING-3: Caddy started while LAPI is dead still holds what it knew.
func TestBansSurviveARestartWithLAPIDead(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "crowdsec", "decisions.json")
	lapi := newTestLAPI(t)
	lapi.ban("203.0.113.7", "4h")
	lapi.ban("203.0.113.7", "1h")
	lapi.ban("198.51.100.0/24", "4h")
	lapi.ban("203.0.113.66", "15s") // long enough to be seen in force, on a busy machine too
	l := start(t, lapi.URL, "right", state)
	l.eventually(t, "203.0.113.66", 403)
	within(t, "the decisions are saved", func() bool { _, err := os.Stat(state); return err == nil })
	l.close()
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	lapi.Close()
	again := start(t, lapi.URL, "right", state)
	if again.status("203.0.113.7") != 403 || again.status("198.51.100.9") != 403 || again.status("203.0.113.8") != 200 {
		t.Error("the first request after the restart was not decided as before it")
	}
	again.eventually(t, "203.0.113.66", 200) // ends by itself, LAPI or not
	if files, _ := os.ReadDir(filepath.Dir(state)); len(files) != 1 {
		t.Errorf("files left beside the state: %v", files)
	}
}

func TestABrokenStateFileIsAnEmptyOne(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "decisions.json")
	for _, text := range []string{"", "{", `{"decisions": [{"value": "nonsense", "until": 99999999999}]}`, "\x00\xff"} {
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := provision(t, map[string]any{"api_url": "http://127.0.0.1:1", "state_file": state})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := l.status("203.0.113.7"); got != 200 {
			t.Errorf("%q: %d", text, got)
		}
		l.close()
	}
}

// SEC-3: a key that is missing, then wrong, then right, is taken without a reload; and is never in the log.
func TestTheKeyMayComeLate(t *testing.T) {
	t.Parallel()
	lapi := newTestLAPI(t)
	lapi.ban("203.0.113.7", "4h")
	file := filepath.Join(t.TempDir(), "key")
	l := start(t, lapi.URL, "{file."+file+"}", "")
	h := &l.app.bouncer.health
	says := func(want string) func() bool {
		return func() bool { h.mu.Lock(); defer h.mu.Unlock(); return strings.Contains(h.err, want) }
	}
	within(t, "a missing key is a health error", says("no bouncer key"))
	for _, key := range []string{"wrong\n", "right\n"} {
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if key == "wrong\n" {
			within(t, "a wrong key is a health error", says("refuses the bouncer key"))
		}
	}
	l.eventually(t, "203.0.113.7", 403)
}

// `caddy validate` provisions: it must not ask, nor take a dead LAPI or a missing key for an error.
func TestProvisionAsksNobody(t *testing.T) {
	lapi := newTestLAPI(t)
	if _, err := provision(t, map[string]any{"api_url": lapi.URL, "api_key": "{file./no/such/file}"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if q := lapi.queries(); len(q) != 0 {
		t.Errorf("asked: %v", q)
	}
	for _, config := range []map[string]any{{}, {"api_url": "127.0.0.1:8080"}, {"api_url": "ftp://x"},
		{"api_url": lapi.URL, "interval": "16s"}, {"api_url": lapi.URL, "interval": "1ms"}} {
		if _, err := provision(t, config); err == nil || !strings.HasPrefix(err.Error(), "crowdsec: ") {
			t.Errorf("%v: %v", config, err)
		}
	}
}

// A reload opens no gap, and reloads in a row leave nothing behind.
func TestReloadsKeepTheTableAndLeaveNothingBehind(t *testing.T) {
	lapi := newTestLAPI(t)
	lapi.ban("203.0.113.7", "4h")
	before := runtime.NumGoroutine()
	l := start(t, lapi.URL, "right", "")
	l.eventually(t, "203.0.113.7", 403)
	lapi.breakWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	for range 30 {
		next := start(t, lapi.URL, "right", "")
		l.close()
		if next.status("203.0.113.7") != 403 {
			t.Fatal("a reload let a banned address pass")
		}
		l = next
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			one := start(t, lapi.URL, "right", "")
			if one.status("203.0.113.7") != 403 {
				t.Error("a concurrent reload let a banned address pass")
			}
			one.close()
		})
	}
	wg.Wait()
	l.close()
	bouncers.Range(func(key, _ any) bool {
		if strings.HasPrefix(key.(string), lapi.URL) {
			t.Errorf("bouncer %v is still there", key)
		}
		return true
	})
	lapi.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	within(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestManyDecisionsAreHeldAndFound(t *testing.T) {
	t.Parallel()
	now := time.Now()
	answer := &models.DecisionsStreamResponse{}
	kind, duration := "ban", "4h"
	for i := range 20_000 {
		value := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}).String()
		answer.New = append(answer.New, &models.Decision{ID: int64(i + 1), Type: &kind, Duration: &duration, Value: &value})
	}
	d, ignored := changed(t, noDecisions(), answer, true, now)
	if d.size() != 20_000 || ignored != 0 {
		t.Fatalf("%d held, %d ignored", d.size(), ignored)
	}
	if !d.banned(netip.MustParseAddr("100.0.78.31"), now) || d.banned(netip.MustParseAddr("100.0.78.32"), now) ||
		d.banned(netip.MustParseAddr("100.0.78.31"), now.Add(5*time.Hour)) {
		t.Error("found wrongly")
	}
	wide, until := "100.0.0.0/8", "8h"
	d, _ = changed(t, d, &models.DecisionsStreamResponse{New: []*models.Decision{{ID: 99_999, Type: &kind, Duration: &until, Value: &wide}}}, false, now)
	if !d.banned(netip.MustParseAddr("100.0.78.31"), now.Add(5*time.Hour)) {
		t.Error("the range around an expired address is not in force")
	}
	d, _ = changed(t, d, &models.DecisionsStreamResponse{}, false, now.Add(9*time.Hour))
	if d.size() != 0 {
		t.Errorf("%d expired decisions are kept", d.size())
	}
}

func TestHostileDecisionsAreIgnored(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	good := func() *models.Decision {
		return &models.Decision{ID: 1, Type: text("ban"), Duration: text("1h"), Value: text("203.0.113.7")}
	}
	bad := []*models.Decision{nil, {}}
	for _, change := range []func(*models.Decision){
		func(d *models.Decision) { d.Value = text("DE") }, func(d *models.Decision) { d.Value = nil },
		func(d *models.Decision) { d.Duration = text("-1h") }, func(d *models.Decision) { d.Duration = text("soon") },
		func(d *models.Decision) { d.Duration = nil }, func(d *models.Decision) { d.Type = nil },
		func(d *models.Decision) { d.Value = text("203.0.113.7/99") }, func(d *models.Decision) { d.Type = text("throttle") },
		func(d *models.Decision) { d.Value = text("0.0.0.0/0") }, func(d *models.Decision) { d.Value = text("::/0") },
		func(d *models.Decision) { d.Value = text("203.0.113.7/7") }, func(d *models.Decision) { d.Value = text("::ffff:0:0/96") },
	} {
		d := good()
		change(d)
		bad = append(bad, d)
	}
	d, ignored := changed(t, noDecisions(), &models.DecisionsStreamResponse{New: bad, Deleted: bad}, false, time.Now())
	if d.size() != 0 || ignored != len(bad) {
		t.Errorf("%d held, %d of %d ignored", d.size(), ignored, len(bad))
	}
}

func TestTheReportSaysHowThingsStand(t *testing.T) {
	lapi := newTestLAPI(t)
	lapi.ban("203.0.113.7", "4h")
	l := start(t, lapi.URL, "right", "")
	l.eventually(t, "203.0.113.7", 403)
	within(t, "an answer is reported", func() bool { return report().SecondsSinceAnswer != nil })
	if r := report(); !r.Running || r.Decisions != 1 || r.Error != "" || r.Refused == 0 || *r.SecondsSinceAnswer > 5 {
		t.Errorf("%+v", r)
	}
	lapi.Close()
	within(t, "the error is reported", func() bool { return report().Error != "" })
	if raw, _ := json.Marshal(report()); bytes.Contains(raw, []byte("right")) {
		t.Errorf("the key is in the report: %s", raw)
	}
	l.close()
	if report().Running {
		t.Error("still reported as running")
	}
}

// A save that fails is told, and the table goes on.
func TestAStateFileThatCannotBeWrittenIsAHealthError(t *testing.T) {
	t.Parallel()
	b := newBouncer("http://127.0.0.1:1", "/proc/no/decisions.json", zap.NewNop())
	if b.save() {
		t.Error("saved below /proc")
	}
	if b.health.saveErr == "" {
		t.Error("no health error")
	}
	if err := b.Destruct(); err != nil {
		t.Error(err)
	}
}

func TestAClosedPortIsNoHang(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	l := start(t, fmt.Sprintf("http://%s", address), "right", "")
	within(t, "the refusal is noted", func() bool { h := &l.app.bouncer.health; h.mu.Lock(); defer h.mu.Unlock(); return h.failures > 0 })
	started := time.Now()
	l.close()
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("closing took %s", took)
	}
}

// The operator's whitelist wins over every decision, that of a range around it too, and a reload takes a new one.
func TestTheWhitelistWinsOverDecisions(t *testing.T) {
	t.Parallel()
	lapi := newTestLAPI(t)
	lapi.ban("203.0.113.0/24", "4h")
	lapi.ban("2001:db8:1::/48", "4h")
	with := func(allow ...string) (*loaded, error) {
		return provision(t, map[string]any{"api_url": lapi.URL, "api_key": "right", "interval": "1s", "allow": allow})
	}
	l, err := with("203.0.113.7", "203.0.113.64/26", "2001:db8:1:2::/64")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.app.Start(); err != nil {
		t.Fatal(err)
	}
	l.eventually(t, "203.0.113.8", 403)
	for address, want := range map[string]int{"203.0.113.7": 200, "::ffff:203.0.113.7": 200, "203.0.113.100": 200, "203.0.113.200": 403,
		"2001:db8:1:2::9": 200, "2001:db8:1:3::9": 403} {
		if got := l.status(address); got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
	without, err := with()
	if err != nil {
		t.Fatal(err)
	}
	without.eventually(t, "203.0.113.7", 403)
	if _, err := with("203.0.113.7", "my office"); err == nil || !strings.Contains(err.Error(), "my office") {
		t.Errorf("an entry that is no address: %v", err)
	}
}
