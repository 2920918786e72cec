package main

import (
	"testing"
	"time"
)

func TestAMarkersAnswerWaitsForItsOwnLine(t *testing.T) {
	w := &written{asked: map[string]int{}, lines: map[string]int{}}
	answered := make(chan struct{})
	w.line(marker + "another")
	for _, wrong := range []string{
		"answered before its line was written", "the second was answered with the line of the first",
	} {
		go func() {
			w.wait("one", time.Minute)
			answered <- struct{}{}
		}()
		select {
		case <-answered:
			t.Fatal(wrong)
		case <-time.After(20 * time.Millisecond):
		}
		w.line(marker + "one")
		<-answered
	}
}
