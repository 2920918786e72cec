package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreruleset/go-ftw/v2/config"
	"github.com/coreruleset/go-ftw/v2/test"
	"github.com/rs/zerolog"
	ftwlog "github.com/rs/zerolog/log"
)

// asked runs one test against a server that cuts the first connections off, and says how often it was asked.
func asked(t *testing.T, cut int, expected uint) (o outcome, times int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ftw.log")
	written, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer written.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if marker := r.Header.Get(config.DefaultLogMarkerHeaderName); marker != "" {
			fmt.Fprintf(written, "%s %s\n", config.DefaultLogMarkerHeaderName, marker)
			return
		}
		if times++; times <= cut {
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
			return
		}
		fmt.Fprintln(written, `[id "920100"]`)
	}))
	defer server.Close()
	text := fmt.Sprintf("meta: {author: a, enabled: true, name: a}\nrule_id: 920100\ntests:\n- test_id: 1\n  stages:\n  - input:\n"+
		"      {dest_addr: 127.0.0.1, port: 80, method: GET, uri: /, headers: {Host: localhost, User-Agent: a, Accept: '*/*'}}\n"+
		"    output: {log: {expect_ids: [%d]}}\n", expected)
	file, err := test.GetTestFromYaml([]byte(text), "920100.yaml")
	if err != nil {
		t.Fatal(err)
	}
	host, port := "127.0.0.1", server.Listener.Addr().(*net.TCPAddr).Port
	settings := &config.RunnerConfig{LogFilePath: path, LogMarkerHeaderName: config.DefaultLogMarkerHeaderName,
		MaxMarkerRetries: 20, MaxMarkerLogLines: 500, RunMode: config.DefaultRunMode, ReadTimeout: 30 * time.Second,
		TestOverride: config.FTWTestOverride{Overrides: config.Overrides{DestAddr: &host, Port: &port}}}
	said := &findings{}
	zerolog.SetGlobalLevel(zerolog.DebugLevel)
	ftwlog.Logger = zerolog.New(said)
	return attempt(settings, *file, file.Tests[0], said), times
}

func TestWhatCouldNotBeAskedIsAskedAgain(t *testing.T) {
	if o, times := asked(t, 2, 920100); o.reason != "" || len(o.broken) != 2 || times != 3 {
		t.Errorf("%+v after %d", o, times)
	}
	if o, times := asked(t, 9, 920100); !strings.HasPrefix(o.reason, "could not be asked: ") || len(o.broken) != attempts || times != attempts {
		t.Errorf("%+v after %d", o, times)
	}
}

func TestAFailedExpectationStandsAndSaysWhy(t *testing.T) {
	o, times := asked(t, 0, 941100)
	if times != 1 || len(o.broken) != 0 || !strings.Contains(o.reason, "[941100]") || !strings.Contains(o.reason, "rules found: [[920100]]") {
		t.Errorf("%+v after %d", o, times)
	}
}
