package reactor

import (
	"sync/atomic"
	"time"

	"icomet/channel"
	"icomet/server/wire"
)

const (
	// InboxMessages and InboxBytes are how much may be queued for a loop and not yet
	// delivered. Above that a publish is refused.
	InboxMessages = 65536
	InboxBytes    = 64 << 20
)

// Counters are what one loop counts. The loop alone writes them, all but the queue;
// anybody reads.
type Counters struct {
	Queued      atomic.Int64 // messages in inbox, todo and batches
	QueuedBytes atomic.Int64 // of content

	Requests, Publishes, Broadcasts   atomic.Uint64
	Deliveries, Replayed, Heartbeats  atomic.Uint64
	BytesIn, BytesOut                 atomic.Uint64
	Held                              atomic.Uint64 // bytes queued for slow readers, and given up with them
	LetGo                             atomic.Uint64 // bytes, about, of handshakes and ciphers that are over
	Accepted, RefusedAtOpen           atomic.Uint64
	Front, Admin                      atomic.Int64
	Subscribers                       [wire.TransportKinds]atomic.Int64
	ClosedBy                          [ReasonCount]atomic.Uint64
	RefusedStatus                     [600]atomic.Uint32
	TokenErrors, TooManyCh, TooManySu atomic.Uint64
	PerIP, OverCap, NoMemory          atomic.Uint64
	BadCommands                       atomic.Uint64
	LagLast, LagMax                   atomic.Int64 // ns from a tick's post to its run
	WorstLag                          lagWatch
	ToWrite                           latency
}

// ticked counts a tick that ran at now, since the start, lag after it was posted.
func (c *Counters) ticked(now, lag time.Duration) {
	c.LagLast.Store(int64(lag))
	c.LagMax.Store(max(c.LagMax.Load(), int64(lag)))
	c.WorstLag.add(now, lag)
}

func (c *Counters) subscribed(t wire.Transport, n int64) { c.Subscribers[t.Kind()].Add(n) }

// frontSubscribers counts those of every transport of the front port.
func (c *Counters) frontSubscribers() (n int64) {
	for t := wire.TransportPoll; t < wire.TransportPresence; t++ {
		n += c.Subscribers[t].Load()
	}
	return n
}

// refused counts an error answer by its status.
func (c *Counters) refused(status int) { c.RefusedStatus[status].Add(1) }

// refusedInBand counts a subscriber's refusal that goes out with status 200.
func (c *Counters) refusedInBand(err error) {
	switch err {
	case channel.ErrToken:
		c.TokenErrors.Add(1)
	case channel.ErrTooManyChannels:
		c.TooManyCh.Add(1)
	case channel.ErrMemory:
		c.NoMemory.Add(1)
	case ErrPerIP:
		c.PerIP.Add(1)
	case ErrConnections:
		c.OverCap.Add(1)
	default:
		c.TooManySu.Add(1)
	}
}

func (c *Counters) opened(cn *Conn) {
	c.Accepted.Add(1)
	c.role(cn).Add(1)
}

func (c *Counters) closed(cn *Conn) {
	c.role(cn).Add(-1)
	c.ClosedBy[cn.reason].Add(1)
}

func (c *Counters) role(cn *Conn) *atomic.Int64 {
	if cn.has(flagAdmin) {
		return &c.Admin
	}
	return &c.Front
}

// Full reports that a publish to a channel with subscribers of the loop is refused.
func (c *Counters) Full() bool {
	return c.Queued.Load() >= InboxMessages || c.QueuedBytes.Load() >= InboxBytes
}

// LatencyBounds are the upper ends of the buckets of publish to write.
var LatencyBounds = [...]time.Duration{
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
	Buckets [len(LatencyBounds) + 1]atomic.Uint64
	Sum     atomic.Int64 // ns
}

// add counts n writes that took d.
func (h *latency) add(d time.Duration, n int) {
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	h.Buckets[i].Add(uint64(n))
	h.Sum.Add(int64(d) * int64(n))
}

// lagWindow is how long the worst lag is remembered at least; at most it is twice as
// long. A scrape every 15 seconds misses none.
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

func (w *lagWatch) Load() time.Duration {
	return time.Duration(max(w.worst.Load(), w.before.Load()))
}
