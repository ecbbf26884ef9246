package reactor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"

	"icomet/channel"
)

const (
	// sliceWrites bounds the deliveries, and the timeouts, that one run of the loop
	// handles before it lets I/O in: at 8 µs a write, about 1 ms. A yield costs 5 µs.
	sliceWrites = 128
	// busyMessages and busyBytes are where a broadcast pauses for a millisecond: work
	// for some 30 ms, which the messages of others wait behind.
	busyMessages = 4096
	busyBytes    = 8 << 20
	// idleTicks is how often an idle loop is told that time has passed, slowTicks how
	// often the ticking goroutine itself looks when all are idle.
	idleTicks = 8
	slowTicks = 4
	// maxSpareLate is the room for late answers that a loop keeps.
	maxSpareLate = 4096
)

// delivery is one message for this loop's subscribers of ch (nil: presence).
type delivery struct {
	ch     *channel.Channel
	msg    channel.Message
	queued uint32 // when, as Reactor.micros has it
}

// loop is our side of one gnet event loop. Fields up to mu are set before it runs,
// those below mu belong to mu, the rest to the loop's goroutine.
type loop struct {
	reactor *Reactor
	sink    int // its number as a channel.Sink
	el      atomic.Pointer[gnet.EventLoop]
	bell    int // writing a byte here makes an I/O event on this loop

	mu       sync.Mutex // a leaf lock, held for one append or swap
	inbox    []delivery
	calls    []func()
	late     []*Answer // whose results have come
	tick     bool
	tickedAt time.Time
	armed    bool // a run is scheduled

	unflushed atomic.Int32 // draining connections whose last answer is still going out
	lastPost  uint32       // the ticking goroutine's own: the tick of its last postTick
	lastWork  uint64       // likewise: the work counted then

	now    uint32 // ticks since the start; a tick is tickLength
	wheel  wheel
	subs   subIndex
	todo   []delivery // taken from the inbox and not yet in a batch, from todoAt on
	todoAt int
	// inboxLeft: the last run could not take the inbox, and who filled it does not
	// wake the loop again.
	inboxLeft bool
	active    batchQueue
	working   map[*channel.Channel]*batch // those in active, at most maxBatches
	proxied   map[*Conn]proxied           // of connections that trusted proxies have made
	doomed    []*Conn                     // closed at the end of the run
	ready     []*Conn                     // answered polls with pipelined input
	arrivals  []*parked                   // what their connections have waited for is there
	inRun     bool
	belled    bool
	cur       *Conn // who is worked on, for a panic's sake
	drain     drainState

	req     Request
	out     *bytebufferpool.ByteBuffer // what the connection being read gets as answers
	scratch Scratch
	batches []*batch  // free
	answers []*Answer // free
	// spareLate is room for late answers.
	spareLate []*Answer
	stats     Counters
}

var _ channel.Sink = (*loop)(nil)

func newLoop(r *Reactor) *loop {
	l := &loop{
		reactor: r, bell: -1, now: 1,
		working: make(map[*channel.Channel]*batch),
		proxied: make(map[*Conn]proxied),
		out:     getBuffer(),
	}
	l.wheel.swept = l.now
	l.sink = r.hub.AddSink(l)
	return l
}

// Push queues a message. Concurrency-safe.
func (l *loop) Push(ch *channel.Channel, m channel.Message) (wake bool) {
	l.stats.Queued.Add(1)
	l.stats.QueuedBytes.Add(int64(len(m.Content)))
	d := delivery{ch, m, l.reactor.micros()}
	l.mu.Lock()
	l.inbox = append(l.inbox, d)
	wake = !l.armed
	l.armed = true
	l.mu.Unlock()
	return wake
}

// Full reports that a publish is to be refused. Concurrency-safe.
func (l *loop) Full() bool {
	return l.stats.Full()
}

// HalfFull is where presence pauses. Concurrency-safe.
func (l *loop) HalfFull() bool {
	return l.stats.Queued.Load() >= InboxMessages/2 || l.stats.QueuedBytes.Load() >= InboxBytes/2
}

// Busy is where a broadcast pauses. Concurrency-safe.
func (l *loop) Busy() bool {
	return l.stats.Queued.Load() >= busyMessages || l.stats.QueuedBytes.Load() >= busyBytes
}

// post runs fn on the loop. Concurrency-safe.
func (l *loop) post(fn func()) {
	l.mu.Lock()
	l.calls = append(l.calls, fn)
	l.unlockAndWake()
}

// postAnswer says that the result of a is there. Concurrency-safe.
func (l *loop) postAnswer(a *Answer) {
	l.mu.Lock()
	l.late = append(l.late, a)
	l.unlockAndWake()
}

// postTick tells the loop that time has passed, unless the last tick still waits.
// Concurrency-safe.
func (l *loop) postTick() {
	l.mu.Lock()
	if !l.tick {
		l.tick, l.tickedAt, l.lastPost = true, time.Now(), l.reactor.now.Load()
	}
	l.unlockAndWake()
}

// unlockAndWake ends what posts under l.mu: a run is scheduled unless one is already.
func (l *loop) unlockAndWake() {
	wake := !l.armed
	l.armed = true
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
}

// busy says whether the loop has worked since the last call, or has to look at
// something in every tick. The ticking goroutine calls it.
func (l *loop) busy() bool {
	work := l.stats.Requests.Load() + l.stats.Deliveries.Load()
	worked := work != l.lastWork
	l.lastWork = work
	return worked || l.unflushed.Load() > 0 || l.reactor.draining.Load()
}

// idleTickDue says whether an idle loop is to be told of the time. Each wake-up
// costs the Go runtime a millisecond of looking around, and a timeout may be late
// by less than a second. The ticking goroutine calls it.
func (l *loop) idleTickDue(now uint32) bool { return now-l.lastPost >= idleTicks }

// rearm schedules another run from within the loop, at once.
func (l *loop) rearm() {
	l.mu.Lock()
	wake := !l.armed
	l.armed = true
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
}

// Wake schedules a run; who set armed calls it. Concurrency-safe.
func (l *loop) Wake() {
	el := l.el.Load()
	if el == nil { // not anchored yet: the first tick finds what waits
		l.mu.Lock()
		l.armed = false
		l.mu.Unlock()
		return
	}
	// The only error is that the engine has shut down: nothing is left to run.
	_ = (*el).Execute(context.Background(), l)
}

// ring schedules another run behind the I/O that waits now: a task that schedules
// itself would let none in (gnet fact 9).
func (l *loop) ring() {
	if l.belled || l.bell < 0 {
		return
	}
	l.belled = true
	if _, err := unix.Write(l.bell, []byte{0}); err != nil {
		l.belled = false
		l.rearm()
	}
}

// Run is one turn of the loop's own work, as a gnet task: after the I/O events of
// its round, so that a connection closed here has no event left in it.
func (l *loop) Run(context.Context) error {
	l.turn(true)
	return nil
}

// turn works at what waits. Among the I/O events of a round it may not close: see
// doom.
func (l *loop) turn(mayClose bool) {
	defer l.guardRun()
	l.inRun = true
	l.now = l.reactor.clock()
	calls, late, ticked, at := l.take()
	for _, fn := range calls {
		fn()
	}
	l.lateAnswers(late)
	if ticked {
		l.stats.ticked(time.Since(l.reactor.started), time.Since(at))
		l.drainSome()
	}
	l.deliverSome(sliceWrites)
	l.timeouts(sliceWrites)
	l.resume()
	if mayClose {
		l.closeDoomed()
	}
	l.scratch.trim()
	l.inRun = false
	if len(l.doomed) > 0 {
		l.rearm()
	}
	if l.inboxLeft || l.active.head != nil || l.todoAt < len(l.todo) || l.wheel.behind(l.now) {
		l.ring()
	}
}

// take empties the mailboxes; new deliveries only when the last are all in batches.
func (l *loop) take() (calls []func(), late []*Answer, ticked bool, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	calls, l.calls = l.calls, nil
	late, l.late, l.spareLate = l.late, l.spareLate, nil
	ticked, l.tick, at = l.tick, false, l.tickedAt
	if l.todoAt == len(l.todo) && len(l.inbox) > 0 {
		l.todo, l.inbox = l.inbox, l.spareInbox()
		l.todoAt = 0
	}
	l.inboxLeft = len(l.inbox) > 0
	return calls, late, ticked, at
}

// spareInbox reuses the emptied todo unless a burst has made it huge.
func (l *loop) spareInbox() []delivery {
	if cap(l.todo) > InboxMessages/4 {
		return nil
	}
	return l.todo[:0]
}

// doom closes c at the end of this run or, from within an I/O event, of the next:
// closing another's descriptor between two events of one round could give its
// number to a new connection that then gets the old one's event.
func (l *loop) doom(c *Conn, reason CloseReason) {
	if c.has(flagDoomed) || c.state == stateClosed {
		return
	}
	c.set(flagDoomed)
	c.reason = reason
	l.doomed = append(l.doomed, c)
	if !l.inRun {
		l.rearm()
	}
}

func (l *loop) closeDoomed() {
	for _, c := range l.doomed {
		if c.state != stateClosed {
			_ = c.gc.EventLoop().Close(c.gc) // OnClose does the rest
		}
	}
	clear(l.doomed)
	l.doomed = l.doomed[:0]
}

// resume reads what answered polls had pipelined.
func (l *loop) resume() {
	for i := 0; i < len(l.arrivals); i++ { // grows while it runs
		l.arrivals[i].goOn()
	}
	clear(l.arrivals)
	l.arrivals = l.arrivals[:0]
	for i := 0; i < len(l.ready); i++ { // grows while it runs
		c := l.ready[i]
		c.clear(flagReady)
		if c.state == stateReading && !c.has(flagDoomed) {
			l.cur = c
			c.ingest(nil)
		}
	}
	l.cur = nil
	clear(l.ready)
	l.ready = l.ready[:0]
}

// Scratch is space that the loop and the endpoints compose answers in. What is in it is
// valid until the handler returns.
type Scratch struct {
	Body   []byte            // a body
	Frame  []byte            // what is framed or wrapped around another
	Name   []byte            // an encoded channel name
	Replay []channel.Message // what a Join returns
}

// trim frees scratch space that one huge message has made huge.
func (s *Scratch) trim() {
	if cap(s.Frame) > maxPooled {
		s.Frame = nil
	}
	if cap(s.Body) > maxPooled {
		s.Body = nil
	}
}
