package main

import (
	"strings"
	"sync"
	"time"
)

// marker begins the message of the rule that writes go-ftw's markers.
const marker = "X-CRS-Test "

// written makes a marker's answer wait for the log. go-ftw asks for the same marker before a test and after it, and takes
// the newest one that it finds for the second: where the log lags behind the answers, as on a busy machine, that is the
// first, and the test's own lines seem to be missing, or those of the test before to be its.
type written struct {
	mu           sync.Mutex
	asked, lines map[string]int
}

// line notes a line's message; the log has it.
func (w *written) line(message string) {
	if id, found := strings.CutPrefix(message, marker); found {
		w.mu.Lock()
		w.lines[id]++
		w.mu.Unlock()
	}
}

// wait returns once the log has every line up to this request for the marker; it gives up after a while, and the test
// fails as it would have.
func (w *written) wait(id string, patience time.Duration) {
	w.mu.Lock()
	w.asked[id]++
	wanted := w.asked[id]
	w.mu.Unlock()
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(100 * time.Microsecond) {
		w.mu.Lock()
		there := w.lines[id] >= wanted
		w.mu.Unlock()
		if there {
			return
		}
	}
}
