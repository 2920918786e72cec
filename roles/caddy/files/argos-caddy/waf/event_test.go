package waf

import (
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// SEC-3: what a person typed into a login form is in no log, whichever rule it trips.
func TestSecretsAreMaskedInTheEventLog(t *testing.T) {
	const secret = "hunter2' UNION SELECT 1 FROM users--"
	e := serve(t, "DetectionOnly", nil)
	quoted := url.QueryEscape(secret)
	e.send(t, "POST", "/login?access_token="+quoted+"&q=<script>", "application/x-www-form-urlencoded", strings.NewReader("user=x&password="+quoted))
	e.send(t, "POST", "/login", "application/json", strings.NewReader(`{"login": {"newPassword": "`+secret+`", "api_key": "`+secret+`"}}`))
	e.send(t, "POST", "/login", "application/xml", strings.NewReader(`<a><password>`+secret+`</password></a>`))
	e.send(t, "POST", "/login", "text/plain", strings.NewReader("password="+secret))
	e.send(t, "GET", "/", "", nil, "Cookie", "argos_session="+secret, "Authorization", "Bearer "+secret, "X-Api-Key", secret,
		"Referer", "https://home.example/cb?code="+quoted+"&x=<script>alert(1)</script>")
	body, contentType := form(t, part{name: "passwd", value: secret})
	e.send(t, "POST", "/login", contentType, body)
	e.events(t, 6)
	raw, _ := os.ReadFile(e.log)
	if strings.Contains(string(raw), "hunter2") {
		t.Errorf("the event log holds the secret:\n%s", raw)
	}
	if !strings.Contains(string(raw), masked) || !strings.Contains(string(raw), "ARGS:password") {
		t.Errorf("the event log does not name what matched:\n%s", raw)
	}
}

func TestAnEventSaysWhoWhatAndWhy(t *testing.T) {
	e := serve(t, "On", nil)
	e.send(t, "GET", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "", nil)
	ev := e.events(t, 1)[0]
	if _, err := time.Parse(time.RFC3339, ev.TS); err != nil {
		t.Error(err)
	}
	if ev.RequestID != "7f6f1f6e" || ev.HostID != "photos.home.example" || ev.Policy != "default" || ev.Mode != "block" ||
		ev.ClientIP != "203.0.113.9" || ev.Method != "GET" || ev.Status != 403 || ev.BlockedBy != 949110 || ev.WouldBlock || ev.Reason != "rule" {
		t.Errorf("event: %+v", ev)
	}
	if r := ev.Rules[0]; r.ID < 941000 || r.ID > 942000 || r.Variable != "ARGS:q" || r.Value != "<script>alert(1)</script>" || r.Msg == "" {
		t.Errorf("rule: %+v", r)
	}
	if info, err := os.Stat(e.log); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the event log's mode: %v %v", info.Mode(), err)
	}
}

func TestAHarmlessRequestLeavesNoEvent(t *testing.T) {
	e := serve(t, "On", nil)
	if got := e.send(t, "GET", "/photos/2026?page=2", "", nil).StatusCode; got != 200 {
		t.Fatal(got)
	}
	e.send(t, "GET", "/?q=<script>alert(1)</script>", "", nil)
	if events := e.events(t, 1); len(events) != 1 {
		t.Errorf("%d events, want the attack's only", len(events))
	}
}

// DAT-4: a log that cannot be written loses events, and counts them; requests go on.
func TestAFullOrBrokenLogDropsAndCounts(t *testing.T) {
	e := serve(t, "On", nil, func(s *setup) { s.AuditLog = "/proc/no/such/directory/waf.log" })
	before := counts.dropped.Load()
	for range 3 {
		if got := e.send(t, "GET", "/?q=<script>alert(1)</script>", "", nil).StatusCode; got != 403 {
			t.Fatal(got)
		}
	}
	for deadline := time.Now().Add(time.Minute); counts.dropped.Load() < before+3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d dropped, want 3", counts.dropped.Load()-before)
		}
	}
	j := &journal{queue: make(chan *event, 2)} // nobody reads it
	before = counts.dropped.Load()
	for range 5 {
		j.add(&event{})
	}
	if got := counts.dropped.Load() - before; got != 3 {
		t.Errorf("%d dropped of 5 with room for 2, want 3", got)
	}
}
