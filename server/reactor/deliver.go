package reactor

import (
	"time"

	"github.com/valyala/bytebufferpool"

	"icomet/channel"
	"icomet/httpparse/wsframe"
	"icomet/server/wire"
)

// batch holds the messages of one channel on their way to this loop's subscribers. They
// are encoded once per form, and a subscriber gets all of them in one write. A channel
// has one batch at most: messages that come while it is walked wait in later.
type batch struct {
	ch      *channel.Channel
	msgs    []channel.Message
	queued  []uint32 // when each was queued, in Reactor.micros
	later   []channel.Message
	laterAt []uint32      // the same for later
	cursor  *subscription // the next subscriber to serve
	started bool
	next    *batch // batchQueue
	name    []byte // encoded
	forms   [wire.FormCount]encoded
}

// encoded is a batch in one form. offsets says where each message begins, for a
// subscriber that has got the first ones already, and where the last one ends.
type encoded struct {
	buf     *bytebufferpool.ByteBuffer
	offsets []int32
}

// batchQueue holds the batches that are not done. One that has used up its slice goes to
// the back, so that a huge channel does not delay the others.
type batchQueue struct{ head, tail *batch }

func (q *batchQueue) push(b *batch) {
	b.next = nil
	if q.head == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
}

func (q *batchQueue) pop() { q.head = q.head.next }

// maxBatches is how many batches may be at work. While a million channels get a
// broadcast, the rest waits as plain deliveries, which are smaller.
const maxBatches = 512

// deliverSome makes up to budget deliveries.
func (l *loop) deliverSome(budget int) {
	for budget > 0 {
		l.fillBatches()
		if l.active.head == nil {
			return
		}
		// The batch stays in the queue while it is walked, so that a panic does not lose it.
		b := l.active.head
		used, done := l.walk(b, budget)
		l.active.pop()
		if budget -= used; done {
			l.finish(b)
		} else {
			l.active.push(b)
		}
	}
}

// little is how many messages, to as many subscribers each, are delivered within the I/O
// event that brought them. A run comes only behind the other events of the round and those
// of the next. Larger ones wait for it all the same: what has come for the same subscribers
// by then leaves in one write.
const little = 4

// isLittle reports that the inbox has no more than that, and nothing is at work. l.mu is
// held.
func (l *loop) isLittle() bool {
	if len(l.inbox) > little || l.active.head != nil || l.todoAt < len(l.todo) {
		return false
	}
	for i := range l.inbox {
		ch := l.inbox[i].ch
		if ch == nil {
			return false
		}
		n := 0
		for s := l.subs.first(ch); s != nil; s = s.subNext {
			if n++; n > little {
				return false
			}
		}
	}
	return true
}

// deliverLittle delivers what is in todo, between two I/O events.
func (l *loop) deliverLittle() {
	defer l.guardRun()
	l.inRun = true
	l.deliverSome(sliceWrites)
	l.flushGathered()
	l.scratch.trim()
	l.ciphers.trim()
	l.inRun = false
	if len(l.doomed) > 0 || len(l.arrivals) > 0 || len(l.ready) > 0 || l.active.head != nil || l.replayQueue.head != nil {
		l.rearm()
	}
}

// fillBatches sorts the deliveries in todo by channel.
func (l *loop) fillBatches() {
	for l.todoAt < len(l.todo) {
		d := &l.todo[l.todoAt]
		switch b := l.working[d.ch]; {
		case b != nil && b.started:
			b.later, b.laterAt = append(b.later, d.msg), append(b.laterAt, d.queued)
		case b != nil:
			b.add(d)
		case l.subs.first(d.ch) == nil: // the last subscriber left meanwhile
			l.done(d.msg)
		case len(l.working) >= maxBatches:
			return
		default:
			b = l.newBatch(d.ch)
			b.add(d)
			l.active.push(b)
		}
		*d = delivery{}
		l.todoAt++
	}
}

// from is the channel as the messages name it.
func (b *batch) from() wire.Channel {
	if b.ch == nil {
		return wire.Channel{}
	}
	return wire.Channel{Name: b.name, Epoch: b.ch.Epoch()}
}

func (b *batch) add(d *delivery) {
	b.msgs, b.queued = append(b.msgs, d.msg), append(b.queued, d.queued)
}

// done counts messages as no longer queued.
func (l *loop) done(ms ...channel.Message) {
	bytes := 0
	for i := range ms {
		bytes += len(ms[i].Content)
	}
	l.stats.Queued.Add(int64(-len(ms)))
	l.stats.QueuedBytes.Add(int64(-bytes))
}

func (l *loop) newBatch(ch *channel.Channel) *batch {
	var b *batch
	if n := len(l.batches); n > 0 {
		b, l.batches = l.batches[n-1], l.batches[:n-1]
	} else {
		b = new(batch)
	}
	b.ch, l.working[ch] = ch, b
	return b
}

// finish ends a walk over the subscribers. The batch goes on if more messages have come
// meanwhile.
func (l *loop) finish(b *batch) {
	for i := range b.forms {
		if f := &b.forms[i]; f.buf != nil {
			putBuffer(f.buf)
			f.buf, f.offsets = nil, f.offsets[:0]
		}
	}
	l.done(b.msgs...)
	clear(b.msgs)
	b.msgs, b.later = b.later, b.msgs[:0]
	b.queued, b.laterAt = b.laterAt, b.queued[:0]
	b.started = false
	if len(b.msgs) > 0 {
		l.active.push(b)
		return
	}
	delete(l.working, b.ch)
	b.ch, b.cursor = nil, nil
	if cap(b.msgs)+cap(b.later) <= 1024 {
		l.batches = append(l.batches, b)
	}
}

// walk serves up to budget subscribers of b. It reports how many, and whether it has come
// to the end.
func (l *loop) walk(b *batch, budget int) (used int, done bool) {
	if !b.started {
		b.started, b.cursor = true, l.subs.first(b.ch)
		b.name = b.name[:0]
		if b.ch != nil {
			b.name = wire.AppendJSON(b.name, []byte(b.ch.Name()))
		}
	}
	for b.cursor != nil && used < budget {
		s := b.cursor
		b.cursor = s.subNext // before the write, which may end s
		l.cur = s.conn
		l.deliver(b, s)
		used++
	}
	l.cur = nil
	if used > 0 && b.ch != nil {
		l.written(b.queued, used)
	}
	return used, b.cursor == nil
}

// written counts the time from queued to now for n subscribers.
func (l *loop) written(queued []uint32, n int) {
	now := l.reactor.micros()
	for _, at := range queued {
		l.stats.ToWrite.add(time.Duration(now-at)*time.Microsecond, n)
	}
}

// deliver gives a subscriber the messages of b that it has not got, in one write.
func (l *loop) deliver(b *batch, s *subscription) {
	c := s.conn
	if c.bundle != nil {
		l.deliverBundled(b, s.member())
		return
	}
	if c.has(flagReplaying) {
		l.passBy(b, c)
		return
	}
	first := 0
	if c.transport != wire.TransportPresence {
		for first < len(b.msgs) && b.msgs[first].Seq < c.next && b.msgs[first].Type != channel.Moved {
			first++
		}
		if first == len(b.msgs) {
			return
		}
	}
	last := &b.msgs[len(b.msgs)-1]
	end := len(b.msgs)
	if last.Type == channel.Moved && c.tellsPosition() {
		end-- // it is told its position instead, when it has joined again
	}
	if c.transport == wire.TransportPoll {
		l.deliverPoll(b, c, first, end)
		return
	}
	f := wire.OpenForm(c.transport, c.has(flagHTTP10))
	e := &b.forms[f]
	if e.buf == nil {
		l.encode(b, f)
	}
	if bytes := e.buf.B[e.offsets[first]:e.offsets[end]]; len(bytes) > 0 && !c.send(bytes) {
		return
	}
	l.stats.Deliveries.Add(uint64(end - first))
	c.since = l.now
	switch last.Type {
	case channel.Closed:
		c.endOpen(ReasonChannelClosed)
	case channel.Ended, channel.Final:
		c.endOpen(ReasonChannelEnded)
	case channel.Moved:
		if end > first {
			c.next = max(c.next, b.msgs[end-1].Seq+1)
		}
		c.rejoin(last)
	default:
		c.next = last.Seq + 1
	}
}

func (l *loop) encode(b *batch, f wire.Form) {
	e := &b.forms[f]
	buf := getBuffer()
	e.offsets = e.offsets[:0]
	for i := range b.msgs {
		e.offsets = append(e.offsets, int32(len(buf.B)))
		buf.B = f.AppendMessage(buf.B, b.from(), &b.msgs[i], &l.scratch.Frame)
	}
	e.offsets = append(e.offsets, int32(len(buf.B)))
	e.buf = buf
}

// deliverPoll gives a waiting poll the messages from first up to end, or, if there are none
// but its channel has moved, its position.
func (l *loop) deliverPoll(b *batch, c *Conn, first, end int) {
	if first == end {
		c.rejoin(&b.msgs[end])
		return
	}
	if l.answerPoll(b, c, first, end) {
		l.stats.Deliveries.Add(uint64(end - first))
		c.endResponse(ReasonAnswered)
	}
}

// answerPoll answers a waiting poll. Polls with the default callback or none share their
// bytes, unless those over TLS have a field of their own.
func (l *loop) answerPoll(b *batch, c *Conn, first, end int) bool {
	own := first > 0 || end < len(b.msgs) || c.ex != nil || c.has(flagHTTP10|flagClose)
	if own || l.reactor.draining.Load() || c.StrictTransport() != "" {
		style := c.pollStyle()
		l.scratch.Body = style.AppendMessages(l.scratch.Body[:0], b.from(), b.msgs[first:end])
		l.scratch.Frame = style.AppendAnswer(l.scratch.Frame[:0], l.scratch.Body)
		return c.send(l.scratch.Frame)
	}
	e := &b.forms[wire.FormPollScript]
	if c.has(flagBare) {
		e = &b.forms[wire.FormPollJSON]
	}
	if e.buf == nil {
		style := c.pollStyle()
		l.scratch.Body = style.AppendMessages(l.scratch.Body[:0], b.from(), b.msgs)
		e.buf = getBuffer()
		e.buf.B = style.AppendAnswer(e.buf.B, l.scratch.Body)
	}
	return c.send(e.buf.B)
}

// endOpen ends the open response of a subscriber whose only channel is over.
func (c *Conn) endOpen(reason CloseReason) {
	if c.transport.Frames() {
		c.closeFrames(wsframe.CodeNormal, "", reason)
		return
	}
	c.endResponse(reason)
}

// endResponse ends an open response whose last bytes have been sent. The connection goes
// on with the next request if HTTP allows it.
func (c *Conn) endResponse(reason CloseReason) {
	open := !c.transport.Polls()
	c.unsubscribe()
	c.responded(reason, open)
}

// responded goes on behind a response; open: one that was endless.
func (c *Conn) responded(reason CloseReason, open bool) {
	l := c.loop
	c.since = l.now
	if leaving := l.reactor.draining.Load(); leaving || c.has(flagClose) || (open && c.has(flagHTTP10)) {
		if leaving {
			reason = ReasonDrain
		}
		c.beginDrain(reason)
		return
	}
	if c.ex != nil {
		c.ex.callback, c.ex.origin = nil, ""
	}
	c.readOn()
}
