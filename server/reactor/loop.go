package reactor

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"

	"icomet/channel"
	"icomet/server/wire"
)

const (
	// sliceWrites is how many deliveries, and how many timeouts, one run of the loop
	// handles before I/O gets its turn: about 1 ms at 8 µs a write. A yield costs 5 µs.
	sliceWrites = 128
	// busyMessages and busyBytes are where a broadcast pauses for a millisecond. They are
	// about 30 ms of work, which the messages of others have to wait for.
	busyMessages = 4096
	busyBytes    = 8 << 20
	// idleTicks is the period, in ticks, in which an idle loop gets a tick; slowTicks the
	// period of the ticking goroutine while all loops are idle.
	idleTicks = 8
	slowTicks = 4
	// maxSpareLate is the room for late answers that a loop keeps.
	maxSpareLate = 4096
)

// delivery is one message for this loop's subscribers of ch; a nil ch means presence.
type delivery struct {
	ch     *channel.Channel
	msg    channel.Message
	queued uint32 // when, as Reactor.micros has it
}

// loop is our side of one gnet event loop. The fields before mu are set before it runs.
// The first block from mu on is guarded by mu; the rest belongs to the loop's goroutine.
type loop struct {
	reactor *Reactor
	sink    int // its number as a channel.Sink
	el      atomic.Pointer[gnet.EventLoop]
	bell    int                                                 // writing a byte here makes an I/O event on this loop
	sendNow func(fd int, p []byte) (n int, errno syscall.Errno) // another one in tests without a kernel

	mu       sync.Mutex // a leaf lock, held for one append or swap, or a look at a few subscribers
	inbox    []delivery
	calls    []func()
	late     []*Answer // with results that have come
	tick     bool
	tickedAt time.Time
	armed    bool // a run is scheduled, or an I/O event is handled, which schedules one if need be
	again    bool // a run is needed, whatever is in the mailboxes
	wasArmed bool // a run was scheduled when the I/O event began

	unflushed atomic.Int32 // draining connections whose last answer is still going out
	lastPost  uint32       // the ticking goroutine's own: the tick of its last postTick
	lastWork  uint64       // likewise: the work counted then

	now    uint32 // ticks since the start; a tick is tickLength
	wheel  wheel
	subs   subIndex
	todo   []delivery // taken from the inbox; from todoAt on not yet in a batch
	todoAt int
	// inboxLeft: the last run could not take the inbox. Nobody will wake the loop for what
	// is in it, so the loop has to ring for itself.
	inboxLeft bool
	active    batchQueue
	working   map[*channel.Channel]*batch // those in active, at most maxBatches
	proxied   map[*Conn]proxied           // of connections that trusted proxies have made
	replays   map[int32]*replay           // by descriptor
	doomed    []*Conn                     // closed at the end of the run
	// replayQueue: those of replays whose next piece can go out.
	replayQueue replayQueue
	ready       []*Conn   // answered polls with pipelined input
	arrivals    []arrival // what their connections have waited for is there
	gathered    []*Conn   // bundles that have something to send
	inRun       bool
	belled      bool
	cur         *Conn // being worked on: closed after a panic
	drain       drainState

	req     Request
	out     *bytebufferpool.ByteBuffer // what the connection being read gets as answers
	scratch Scratch
	tcpInfo unix.TCPInfo
	batches []*batch  // free
	answers []*Answer // free
	// spareLate is room for late answers.
	spareLate []*Answer
	positions []wire.Position
	ciphers   ciphers
	stats     Counters
}

var _ channel.Sink = (*loop)(nil)

func newLoop(r *Reactor) *loop {
	l := &loop{
		reactor: r, bell: -1, now: 1, sendNow: sendNow,
		working: make(map[*channel.Channel]*batch),
		proxied: make(map[*Conn]proxied),
		out:     getBuffer(),
	}
	l.wheel.swept, l.ciphers.loop = l.now, l
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

// post runs fn on the loop, in its next run. Concurrency-safe.
func (l *loop) post(fn func()) {
	l.mu.Lock()
	l.calls = append(l.calls, fn)
	l.unlockAndWake()
}

// postAnswer tells the loop that the result of a has come. Concurrency-safe.
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

// unlockAndWake releases l.mu after a post, and schedules a run unless one is scheduled.
func (l *loop) unlockAndWake() {
	wake := !l.armed
	l.armed = true
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
}

// busy reports that the loop has worked since the last call, or needs every tick. Only
// the ticking goroutine calls it.
func (l *loop) busy() bool {
	work := l.stats.Requests.Load() + l.stats.Deliveries.Load()
	worked := work != l.lastWork
	l.lastWork = work
	return worked || l.unflushed.Load() > 0 || l.reactor.draining.Load()
}

// idleTickDue reports that an idle loop needs a tick. It does not get every one, because
// after each wake-up the Go runtime looks for work for a millisecond, and a timeout may
// be late by less than a second. Only the ticking goroutine calls it.
func (l *loop) idleTickDue(now uint32) bool { return now-l.lastPost >= idleTicks }

// rearm schedules another run from within the loop.
func (l *loop) rearm() {
	l.mu.Lock()
	l.again = true
	l.unlockAndWake()
}

// Wake schedules a run. Only the caller that has changed armed from false to true may
// call it. Concurrency-safe.
func (l *loop) Wake() {
	el := l.el.Load()
	if el == nil { // not anchored yet: the loop gets a Wake when it is
		l.mu.Lock()
		l.armed = false
		l.mu.Unlock()
		return
	}
	// The only error is that the engine has shut down: nothing is left to do.
	_ = (*el).Execute(context.Background(), l)
}

// ring schedules another run after the I/O events that wait now. A task that schedules
// itself would let none of them in (gnet fact 9).
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

// Run is one turn of the loop's own work. gnet runs it as a task, after the I/O events
// of a round, so a connection that is closed here has no event left in the round.
func (l *loop) Run(context.Context) error {
	l.turn(true)
	return nil
}

// turn does what waits: calls, late answers, the tick, deliveries, timeouts. Between the
// I/O events of a round mayClose is false: see doom.
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
		l.ciphers.sweepSome()
	}
	l.deliverSome(sliceWrites)
	l.flushGathered()
	l.replaySome(replayRun)
	l.timeouts(sliceWrites)
	l.resume()
	l.flushGathered()
	if mayClose {
		l.closeDoomed()
	}
	l.scratch.trim()
	l.ciphers.trim()
	l.inRun = false
	if len(l.doomed) > 0 {
		l.rearm()
	}
	if l.inboxLeft || l.active.head != nil || l.replayQueue.head != nil || l.todoAt < len(l.todo) || l.wheel.behind(l.now) {
		l.ring()
	}
}

// take empties the mailboxes. It takes new deliveries only when the last ones are all in
// batches.
func (l *loop) take() (calls []func(), late []*Answer, ticked bool, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.again = false, false
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

// spareInbox returns the emptied todo for reuse, unless a burst has made it huge.
func (l *loop) spareInbox() []delivery {
	if cap(l.todo) > InboxMessages/4 {
		return nil
	}
	return l.todo[:0]
}

// doom closes c at the end of this run or, from within an I/O event, of the next one.
// Not at once: if a descriptor is closed between two events of one round, a new
// connection can get its number, and then the old connection's event.
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
		if c.isTLS() && c.state != stateClosed && !c.reason.cuts() && c.outbound() == 0 {
			c.goodbye() // which may close it
		}
		if c.state != stateClosed {
			_ = c.gc.EventLoop().Close(c.gc) // OnClose does the rest
		}
	}
	clear(l.doomed)
	l.doomed = l.doomed[:0]
}

// resume goes on with requests that were parked, and reads what was pipelined behind
// polls that have been answered.
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

	Publication channel.Publication // what is being published
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
