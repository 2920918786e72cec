package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	schema "github.com/coreruleset/ftw-tests-schema/v2/types"
	"github.com/coreruleset/go-ftw/v2/config"
	"github.com/coreruleset/go-ftw/v2/output"
	"github.com/coreruleset/go-ftw/v2/runner"
	"github.com/coreruleset/go-ftw/v2/test"
)

const attempts = 3 // of a test that could not be asked

// outcome is what came of one test.
type outcome struct {
	reason string   // why it failed, empty when it passed
	broken []string // what kept it from being asked at all, an attempt each
}

// attempt runs one test. What keeps it from being asked (a connection, a time-out, a marker that did not come to the log
// in time, as on a busy machine) says nothing of the edge, so it is asked again; what the test then finds stands.
func attempt(settings *config.RunnerConfig, file test.FTWTest, one schema.Test, said *findings) (o outcome) {
	file.Tests = []schema.Test{one}
	for range attempts {
		said.lines = nil
		done, err := runner.Run(settings, []*test.FTWTest{&file}, output.NewOutput("quiet", io.Discard))
		if err != nil {
			o.broken = append(o.broken, err.Error())
			continue
		}
		if done.Stats.TotalFailed() > 0 {
			o.reason = fmt.Sprintf("%s; rules found: %v", strings.Join(said.lines, "; "), done.Stats.TriggeredRules[one.IdString()])
		}
		return o
	}
	o.reason = "could not be asked: " + o.broken[len(o.broken)-1]
	return o
}

// findings keeps what go-ftw's own log says of an expectation that did not hold; it tells nobody else.
type findings struct{ lines []string }

var failures = []string{"Failed to", "Unexpectedly found", "Found more than one", "Error expected: true"}

// Write takes one line of the log.
func (f *findings) Write(line []byte) (int, error) {
	var entry struct{ Message string }
	if json.Unmarshal(line, &entry) == nil && slices.ContainsFunc(failures, func(s string) bool { return strings.HasPrefix(entry.Message, s) }) {
		f.lines = append(f.lines, entry.Message)
	}
	return len(line), nil
}
