package main

import (
	"testing"
	"time"
)

func TestAMarkersAnswerWaitsForItsOwnLine(t *testing.T) {
	w := &written{asked: map[string]int{}, lines: map[string]int{}}
	answered := make(chan int)
	ask := func(number int) {
		w.wait("one", time.Minute)
		answered <- number
	}
	w.line(marker + "another")
	go ask(1)
	select {
	case <-answered:
		t.Fatal("answered before its line was written")
	case <-time.After(20 * time.Millisecond):
	}
	w.line(marker + "one")
	<-answered
	go ask(2)
	select {
	case <-answered:
		t.Fatal("the second was answered with the line of the first")
	case <-time.After(20 * time.Millisecond):
	}
	w.line(marker + "one")
	<-answered
}
