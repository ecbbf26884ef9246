package reactor

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"icomet/server/wire"
)

const (
	// tickLength is the resolution of every timeout.
	tickLength = 100 * time.Millisecond
	wheelSlots = 1024
	// noSlot is the slot of a connection that waits for nothing.
	noSlot = ^uint16(0)
	// neverDue is the deadline of one that is to wait for nothing.
	neverDue = ^uint32(0)
	// lingerTicks is how long input is discarded after the last answer: unread input would
	// make the kernel send a reset, which can destroy the answer on its way. A WebSocket client
	// that is slow or far away has this long to answer a close frame.
	lingerTicks = uint32(5 * time.Second / tickLength)
	// refusedTicks is how long a newcomer over the cap has to send the request that is
	// refused. Until then it holds a descriptor of the reserve.
	refusedTicks = uint32(3 * time.Second / tickLength)
	// refusedLingerTicks is lingerTicks for a newcomer that was refused, or whose TLS failed.
	refusedLingerTicks = uint32(time.Second / tickLength)
)

func toTicks(d time.Duration) uint32 {
	return uint32(max(1, (d+tickLength-1)/tickLength))
}

// wheel is a timing wheel: a list of connections for each tick. A connection waits for
// one thing at a time, so it is in one slot at most. An event that moves the deadline
// later only notes the time (Conn.since); the slot is corrected when it is due. A
// deadline beyond the wheel's 102 s is looked at once each time round.
type wheel struct {
	slots [wheelSlots]*Conn
	swept uint32 // all slots up to this tick are empty
}

func (w *wheel) add(c *Conn, due uint32) {
	due = min(due, w.swept+wheelSlots-1)
	c.slot = uint16(due % wheelSlots)
	slot := &w.slots[c.slot]
	c.timePrev, c.timeNext = nil, *slot
	if *slot != nil {
		(*slot).timePrev = c
	}
	*slot = c
}

func (w *wheel) remove(c *Conn) {
	if c.slot == noSlot {
		return
	}
	if c.timePrev != nil {
		c.timePrev.timeNext = c.timeNext
	} else {
		w.slots[c.slot] = c.timeNext
	}
	if c.timeNext != nil {
		c.timeNext.timePrev = c.timePrev
	}
	c.timePrev, c.timeNext, c.slot = nil, nil, noSlot
}

// due is the tick of the slot that c is in.
func (w *wheel) due(c *Conn) uint32 {
	return w.swept + (uint32(c.slot)-w.swept)%wheelSlots
}

func (w *wheel) behind(now uint32) bool { return w.swept < now }

// next removes and returns a connection whose slot is due at now, or nil.
func (w *wheel) next(now uint32) *Conn {
	for w.swept < now {
		if c := w.slots[(w.swept+1)%wheelSlots]; c != nil {
			w.remove(c)
			return c
		}
		w.swept++
	}
	return nil
}

// all removes every connection and returns them as a list linked by timeNext.
func (w *wheel) all() (list *Conn) {
	for i := range w.slots {
		for c := w.slots[i]; c != nil; c = w.slots[i] {
			w.remove(c)
			c.timeNext, list = list, c
		}
	}
	return list
}

// deadline is the tick at which what c waits for is due.
func (l *loop) deadline(c *Conn) uint32 { return min(l.stateDue(c), c.recordDue()) }

// stateDue is deadline but for a part of a TLS record.
func (l *loop) stateDue(c *Conn) uint32 {
	t := &l.reactor.settings.Load().ticks
	switch c.state {
	case stateSubscribed:
		if c.transport == wire.TransportPresence || c.transport == wire.TransportDashboard {
			return neverDue // no heartbeat, no idle timeout
		}
		return c.since + t.polling
	case stateDraining:
		switch {
		case c.has(flagFlushed) && (c.reason == ReasonConnections || c.reason == ReasonTLS):
			return c.since + refusedLingerTicks
		case c.has(flagFlushed):
			return c.since + lingerTicks
		}
		return l.now // in every tick, because gnet does not tell when it is flushed
	}
	if c.refusal() == ReasonConnections {
		return c.since + refusedTicks
	}
	if c.shaking() && !c.has(flagProxyHeader) {
		if busy := c.secured().busy; busy != nil && busy.shake != nil {
			return c.since + shakeTicks
		}
		return c.since + helloTicks
	}
	if c.has(flagMidRequest) {
		return c.since + t.request
	}
	return c.since + t.idle
}

// arm makes sure that c is looked at no later than its deadline.
func (l *loop) arm(c *Conn) {
	due := l.deadline(c)
	if due == neverDue {
		l.wheel.remove(c)
		return
	}
	due = max(due, l.now+1)
	if c.slot == noSlot || due < l.wheel.due(c) {
		l.wheel.remove(c)
		l.wheel.add(c, due)
	}
}

// timeouts handles up to budget connections that are due.
func (l *loop) timeouts(budget int) {
	for ; budget > 0; budget-- {
		c := l.wheel.next(l.now)
		if l.cur = c; c == nil {
			return
		}
		if l.deadline(c) > l.now {
			l.arm(c)
			continue
		}
		l.timeout(c)
	}
	l.cur = nil
}

// timeout does what is due for c.
func (l *loop) timeout(c *Conn) {
	late := c.recordDue() <= l.now
	if late && (c.state != stateReading || c.has(flagParked)) {
		l.doom(c, ReasonRequestTimeout) // there is an answer open, so no error can be said
		return
	}
	switch c.state {
	case stateSubscribed:
		c.silent()
	case stateDraining:
		c.drainOn()
	case stateReading:
		switch {
		case c.refusal() == ReasonConnections:
			l.doom(c, ReasonConnections)
			return
		case c.shaking() && !c.has(flagProxyHeader):
			c.secured().late()
			return
		case late || c.has(flagMidRequest):
			c.failWith(wire.Head{Status: 408}, "the request was not complete in time (limits.request_timeout)", ReasonRequestTimeout)
		case c.has(flagParked) || c.ex != nil && len(c.ex.pending) > 0:
			c.since = l.now // it waits for the engine, whose calls have a deadline
		case c.flows(l.reactor.settings.Load().ticks.idle):
		default:
			l.doom(c, ReasonIdle)
			return
		}
	}
	if c.state != stateClosed {
		l.arm(c)
	}
}

// silent is due when a subscriber has been sent nothing for polling_timeout. It gets its
// heartbeat, unless something is queued for it, here or in the kernel: what it has not read
// yet shows it that the connection lives, and a heartbeat behind it would only help to fill
// outbound_buffer. If the last of that has left later than it was sent, the time counts from
// then. Who takes nothing any more is given up by the kernel (TCP_USER_TIMEOUT).
func (c *Conn) silent() {
	l := c.loop
	waits, ago, ok := l.sending(c)
	switch {
	case c.outbound() > 0 || c.has(flagReplaying) || ok && waits:
		c.since = l.now
	case ok && ago+1 < l.reactor.settings.Load().ticks.polling && l.now-ago > c.since:
		c.since = l.now - ago
	default:
		c.heartbeat()
		c.since = l.now
	}
}

// sending asks the kernel about c's socket: whether data waits to be sent or acknowledged,
// and how many ticks ago it has sent some.
func (l *loop) sending(c *Conn) (waits bool, ago uint32, ok bool) {
	info := &l.tcpInfo // on the heap once, not in each call
	size := uint32(unsafe.Sizeof(*info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return false, 0, false
	}
	return info.Unacked > 0 || info.Notsent_bytes > 0, toTicks(time.Duration(info.Last_data_sent) * time.Millisecond), true
}

// rearmAll puts every connection into the slot that new timeouts ask for, after a reload.
func (l *loop) rearmAll() {
	for c := l.wheel.all(); c != nil; {
		next := c.timeNext
		c.timeNext = nil
		l.arm(c)
		c = next
	}
}

// restart has the deadline of what comes next count from now. A newcomer over the cap has
// one deadline for all.
func (c *Conn) restart() {
	if c.refusal() != ReasonConnections {
		c.since = c.loop.now
	}
}

// beginDrain ends a connection gently: what is queued goes out, then our half of the
// connection is closed, then input is discarded for lingerTicks.
func (c *Conn) beginDrain(reason CloseReason) {
	if c.state == stateClosed {
		return // closed by the write of the last answer: the descriptor is not ours any more
	}
	c.state, c.reason, c.since = stateDraining, reason, c.loop.now
	c.clear(flagMidRequest | flagFlushed)
	c.releaseExchange()
	c.loop.unflushed.Add(1)
	if c.isTLS() {
		c.secured().abort()
	}
	c.goodbye()
	c.drainOn()
	c.loop.arm(c)
}

func (c *Conn) drainOn() {
	l := c.loop
	switch {
	case c.has(flagFlushed):
		l.doom(c, c.reason)
	case c.outbound() == 0:
		c.set(flagFlushed)
		l.unflushed.Add(-1)
		c.since = l.now
		// An error means that the peer has gone, which the linger ends too.
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	case l.now-c.since > l.reactor.settings.Load().ticks.request && !c.flows(l.reactor.settings.Load().ticks.request):
		l.doom(c, ReasonFlush)
	}
}

// flows reports that the client still takes what was queued for c: some of it has gone
// out less than limit ticks ago. The deadline then counts from that time. The kernel
// knows it, and is asked only when a deadline is over, so that a write costs nothing.
func (c *Conn) flows(limit uint32) bool {
	if !c.has(flagQueued) {
		return false
	}
	c.outbound() // when all has gone, the next deadline is the last
	_, ago, ok := c.loop.sending(c)
	if !ok || ago >= limit {
		return false
	}
	c.since = c.loop.now - ago
	return true
}
