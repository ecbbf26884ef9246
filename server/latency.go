package server

import (
	"sync/atomic"
	"time"
)

// latencyBounds are the upper ends of the buckets of publish to write.
var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// latency is a histogram of one loop: how long a message took from the publish until
// it was written to a subscriber. The loop alone writes, anybody reads. All writes of
// one slice of a walk count with the time at its end: one look at the clock for up to
// sliceWrites of them.
type latency struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // ns
}

// add counts n writes that took d.
func (h *latency) add(d time.Duration, n int) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	h.buckets[i].Add(uint64(n))
	h.sum.Add(int64(d) * int64(n))
}

// lagWindow is how long the worst lag is remembered at least, and at most twice as
// long: whoever looks every 15 seconds misses none.
const lagWindow = 15 * time.Second

// lagWatch keeps the worst recent lag of one loop. The loop alone writes, anybody
// reads.
type lagWatch struct {
	worst, before atomic.Int64 // ns: of the present window, of the one before it
	until         time.Duration
}

func (w *lagWatch) add(now, lag time.Duration) {
	if now >= w.until {
		w.before.Store(w.worst.Load())
		w.worst.Store(0)
		w.until = now + lagWindow
	}
	if int64(lag) > w.worst.Load() {
		w.worst.Store(int64(lag))
	}
}

func (w *lagWatch) load() time.Duration {
	return time.Duration(max(w.worst.Load(), w.before.Load()))
}
