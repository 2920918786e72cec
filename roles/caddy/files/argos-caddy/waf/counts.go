package waf

import (
	"sync/atomic"

	"argos-caddy/counters"
)

// counts are the process's own, over reloads.
var counts struct {
	requests, bodies, blocked, overLimit, busy, panics, events, dropped atomic.Int64
}

func init() {
	counters.Publish("waf", func() any {
		return map[string]int64{
			"requests":   counts.requests.Load(),
			"bodies":     counts.bodies.Load(),
			"blocked":    counts.blocked.Load(),
			"over_limit": counts.overLimit.Load(),
			"busy":       counts.busy.Load(),
			"panics":     counts.panics.Load(),
			"events":     counts.events.Load(),
			"dropped":    counts.dropped.Load(),
		}
	})
}
