// The OWASP Core Rule Set's own regression suite, run against an edge: every request test, each on its own, by the library
// of go-ftw, which the rule set's makers use. It prints one JSON object: how many ran, which failed and why, and which had
// to be asked again and why.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	schema "github.com/coreruleset/ftw-tests-schema/v2/types"
	"github.com/coreruleset/go-ftw/v2/config"
	"github.com/coreruleset/go-ftw/v2/test"
	"github.com/rs/zerolog"
	ftwlog "github.com/rs/zerolog/log"
)

var (
	port     = flag.Int("port", 0, "the edge's port on 127.0.0.1, plain HTTP")
	kept     = flag.Int("kept", 0, "its port for tests with X_Filename or X.Filename, which it drops elsewhere")
	upstream = flag.String("upstream", "", "address that the upstream, which answers 200 to everything, listens on")
	events   = flag.String("events", "", "the edge's WAF event log")
	scratch  = flag.String("scratch", "", "directory for the log in go-ftw's format")
	only     = flag.String("only", "", "run only the tests whose id begins so")
)

func main() {
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.DebugLevel)
	markers := &written{asked: map[string]int{}, lines: map[string]int{}}
	listener := &http.Server{Addr: *upstream, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if id := r.Header.Get(config.DefaultLogMarkerHeaderName); id != "" {
			markers.wait(id, 4*time.Second) // less than go-ftw's own patience
		}
	})}
	go func() { log.Fatal(listener.ListenAndServe()) }()
	translated := filepath.Join(*scratch, "ftw.log")
	to, err := os.Create(translated)
	check(err)
	go translate(*events, to, markers)

	host := "127.0.0.1"
	settings := &config.RunnerConfig{LogFilePath: translated, LogMarkerHeaderName: config.DefaultLogMarkerHeaderName,
		MaxMarkerRetries: 200, MaxMarkerLogLines: 500, RunMode: config.DefaultRunMode, ReadTimeout: 5 * time.Second,
		TestOverride: config.FTWTestOverride{Overrides: config.Overrides{DestAddr: &host}}}
	said := &findings{}
	ftwlog.Logger = zerolog.New(said)
	result := struct {
		Ran        int                 `json:"ran"`
		Failed     map[string]string   `json:"failed"`
		AskedAgain map[string][]string `json:"asked_again"`
	}{Failed: map[string]string{}, AskedAgain: map[string][]string{}}
	check(fs.WalkDir(tests.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(path, "REQUEST-") {
			return err
		}
		text, err := fs.ReadFile(tests.FS, path)
		check(err)
		file, err := test.GetTestFromYaml(text, path)
		check(err)
		for _, one := range file.Tests {
			if !strings.HasPrefix(one.IdString(), *only) {
				continue
			}
			result.Ran++
			to := port
			if spelled(one) {
				to = kept
			}
			settings.TestOverride.Overrides.Port = to
			o := attempt(settings, *file, one, said)
			if o.reason != "" {
				result.Failed[one.IdString()] = o.reason
			}
			if len(o.broken) > 0 {
				result.AskedAgain[one.IdString()] = o.broken
			}
		}
		return nil
	}))
	check(json.NewEncoder(os.Stdout).Encode(result))
}

// spelled tells whether a test sends a header that an edge drops unless its configuration names it.
func spelled(one schema.Test) bool {
	for _, stage := range one.Stages {
		for name := range stage.Input.Headers {
			if name == "X_Filename" || name == "X.Filename" {
				return true
			}
		}
	}
	return false
}

// event is what a line of the edge's log says about rules.
type event struct {
	Rules []struct {
		ID              int    `json:"id"`
		Msg             string `json:"msg"`
		Variable, Value string
	} `json:"rules"`
	WouldBlock bool   `json:"would_block"`
	Reason     string `json:"reason"`
}

// translate follows the edge's log and writes it as ModSecurity would, which is what go-ftw reads. The edge logs no sums:
// that a request would be refused is 949110's finding.
func translate(from string, to io.Writer, markers *written) {
	var in *os.File
	for in == nil {
		in, _ = os.Open(from)
		time.Sleep(time.Millisecond)
	}
	lines := bufio.NewReader(in)
	line := ""
	for {
		part, err := lines.ReadString('\n')
		line += part
		if err != nil {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		var e event
		check(json.Unmarshal([]byte(line), &e))
		line = ""
		var out strings.Builder
		for _, r := range e.Rules {
			fmt.Fprintf(&out, `[id "%d"] [msg "%s"] [data "Matched Data: %s found within %s: %s"] `, r.ID, r.Msg, oneLine(r.Value), r.Variable, oneLine(r.Value))
		}
		switch {
		case e.Reason == "multipart": // the edge's own parser refuses what ModSecurity's does
			out.WriteString("Multipart parsing error: Multipart: Invalid part header (contains invalid character)")
		case e.WouldBlock && e.Reason == "rule":
			out.WriteString(`[id "949110"]`)
		}
		_, err = io.WriteString(to, out.String()+"\n")
		check(err)
		for _, r := range e.Rules {
			markers.line(r.Msg)
		}
	}
}

var oneLine = strings.NewReplacer("\r", `\x0d`, "\n", `\x0a`).Replace

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
