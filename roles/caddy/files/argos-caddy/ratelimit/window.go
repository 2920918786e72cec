package ratelimit

// slots is how finely a window is looked at when it allows more requests than that. A request then counts until the end
// of its slot is a window old, so the limit is never exceeded, and a place comes back up to window/slots late.
// Of a window that allows no more than slots each request is kept with its own time, and nothing is late.
const slots = 20

// limit is what one key may do: at most `most` requests in any span of `window` nanoseconds.
type limit struct {
	most   uint32
	window int64
}

// bucket holds requests that count until `at`+window: the time of one of them, or the end of its slot. Nanoseconds.
type bucket struct {
	at    int64
	count uint32
}

// client is one key's recent past: at most slots+1 buckets, so 0.5 KB whatever the limit and the traffic are.
type client struct {
	key     uint64
	newer   *client // in the zone's order
	older   *client
	buckets []bucket
	total   uint32
}

// take counts one more request at `now` and returns 0, or the nanoseconds until one would be let in.
func (c *client) take(l limit, now int64) int64 {
	c.forget(now - l.window)
	if c.total >= l.most {
		return c.opens(l) - now
	}
	at := now
	if l.most > slots {
		step := max(1, l.window/slots)
		at = (now/step + 1) * step
	}
	c.total++
	if last := len(c.buckets) - 1; last >= 0 && c.buckets[last].at >= at {
		c.buckets[last].count++ // later than it was, where the limit has just changed: never too many
		return 0
	}
	if len(c.buckets) > slots { // only after the window has grown
		c.buckets[1].count += c.buckets[0].count
		c.drop(1)
	}
	if len(c.buckets) == cap(c.buckets) { // append alone would end with half as much again as is ever used
		c.buckets = append(make([]bucket, 0, min(max(1, 2*len(c.buckets)), slots+1)), c.buckets...)
	}
	c.buckets = append(c.buckets, bucket{at, 1})
	return 0
}

// forget lets go of requests that count no more.
func (c *client) forget(before int64) {
	gone := 0
	for gone < len(c.buckets) && c.buckets[gone].at <= before {
		c.total -= c.buckets[gone].count
		gone++
	}
	c.drop(gone)
}

func (c *client) drop(oldest int) {
	c.buckets = c.buckets[:copy(c.buckets, c.buckets[oldest:])]
}

// opens is the time from which a request is let in, of a client that has no place free.
func (c *client) opens(l limit) int64 {
	over := c.total - l.most
	for _, b := range c.buckets {
		if b.count > over {
			return b.at + l.window
		}
		over -= b.count
	}
	return 0 // not reached: the buckets hold total
}

// over says whether nothing of it counts any more in a window that began at `before`.
func (c *client) over(before int64) bool {
	last := len(c.buckets) - 1
	return last < 0 || c.buckets[last].at <= before
}
