package server

import (
	"sync/atomic"
	"time"

	"icomet/channel"
)

const (
	// inboxMessages and inboxBytes bound what is queued for a loop and not yet
	// delivered; over it a publish is refused.
	inboxMessages = 65536
	inboxBytes    = 64 << 20
)

// counters are what one loop counts. The loop alone writes them, all but the queue;
// anybody reads.
type counters struct {
	queued      atomic.Int64 // messages in inbox, todo and batches
	queuedBytes atomic.Int64 // of content

	requests, publishes, broadcasts   atomic.Uint64
	deliveries, replayed, heartbeats  atomic.Uint64
	bytesIn, bytesOut                 atomic.Uint64
	held                              atomic.Uint64 // bytes queued for slow readers, and given up with them
	accepted, refusedAtOpen           atomic.Uint64
	front, admin                      atomic.Int64
	subscribers                       [transportCount]atomic.Int64
	closedBy                          [reasonCount]atomic.Uint64
	refusedStatus                     [600]atomic.Uint32
	tokenErrors, tooManyCh, tooManySu atomic.Uint64
	perIP, noMemory                   atomic.Uint64
	lagLast, lagMax                   atomic.Int64 // ns from a tick's post to its run
	worstLag                          lagWatch
	toWrite                           latency
}

// ticked notes that the loop runs a tick, at now (since the start), lag after its post.
func (c *counters) ticked(now, lag time.Duration) {
	c.lagLast.Store(int64(lag))
	c.lagMax.Store(max(c.lagMax.Load(), int64(lag)))
	c.worstLag.add(now, lag)
}

func (c *counters) subscribed(t transport, n int64) { c.subscribers[t].Add(n) }

// frontSubscribers counts those of every transport of the front port.
func (c *counters) frontSubscribers() (n int64) {
	for t := transportPoll; t < transportPresence; t++ {
		n += c.subscribers[t].Load()
	}
	return n
}

// refused counts an error answer by its status.
func (c *counters) refused(status int) { c.refusedStatus[status].Add(1) }

// refusedInBand counts a subscriber's refusal that goes out with status 200.
func (c *counters) refusedInBand(err error) {
	switch err {
	case channel.ErrToken:
		c.tokenErrors.Add(1)
	case channel.ErrTooManyChannels:
		c.tooManyCh.Add(1)
	case channel.ErrMemory:
		c.noMemory.Add(1)
	case errPerIP:
		c.perIP.Add(1)
	default:
		c.tooManySu.Add(1)
	}
}

func (c *counters) opened(cn *conn) {
	c.accepted.Add(1)
	c.role(cn).Add(1)
}

func (c *counters) closed(cn *conn) {
	c.role(cn).Add(-1)
	c.closedBy[cn.reason].Add(1)
}

func (c *counters) role(cn *conn) *atomic.Int64 {
	if cn.has(flagAdmin) {
		return &c.admin
	}
	return &c.front
}

// full reports that a publish to a channel with subscribers of the loop is refused.
func (c *counters) full() bool {
	return c.queued.Load() >= inboxMessages || c.queuedBytes.Load() >= inboxBytes
}

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
