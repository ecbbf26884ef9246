package reactor

import (
	"slices"

	"icomet/channel"
	"icomet/server/wire"
)

const (
	// replayPiece is how much of a backlog is put out at once, in bytes, at most; one
	// message may be more. What is shorter goes out whole with the head of the response.
	replayPiece = 64 << 10
	// replayRun is how much one run of a loop puts out, of all backlogs together, before
	// I/O gets its turn; one message may be more.
	replayRun = 4 * replayPiece
)

// replay is a backlog on its way to a subscriber, piece by piece, from the channel's
// buffer: the next when the last has gone. So an unread backlog takes no more memory than
// a piece (and outbound_buffer for each channel, see channel.Join.Keep), and however long it is, the others wait for a piece only. Meanwhile the
// subscriber takes no part in deliveries. When it has everything that is stored, it goes on
// with them: channel.Hub.Read says why nothing is lost or doubled.
type replay struct {
	conn   *Conn
	sub    *subscription   // whose backlog it is; nil: it is over
	other  *replay         // of another member of conn's bundle
	end    int64           // poll: the first seq that is not in the answer; else 0
	over   channel.Message // Closed or Ended: it follows the backlog, and then nothing more; else Data
	next   *replay         // replayQueue
	queued bool
	begun  bool // something of the body has gone out
}

// replayQueue holds the replays whose next piece can go out.
type replayQueue struct{ head, tail *replay }

func (q *replayQueue) push(p *replay) {
	if p.queued {
		return
	}
	p.queued, p.next = true, nil
	if q.head == nil {
		q.head = p
	} else {
		q.tail.next = p
	}
	q.tail = p
}

func (q *replayQueue) pop() *replay {
	p := q.head
	if p != nil {
		q.head, p.queued, p.next = p.next, false, nil
	}
	return p
}

// pieceLimit is how much may be queued for c at once.
func (l *loop) pieceLimit() int {
	return int(min(replayPiece, l.reactor.settings.Load().OutboundBuffer))
}

// Backlog gives c, whose response of this form is open, the backlog that joined says: at
// once if it is short. If the channel has ended, the response ends behind it.
func (c *Conn) Backlog(joined *channel.Joined, f wire.Form, ch wire.Channel) {
	l := c.loop
	if joined.More {
		l.beginReplay(c, joined, false)
		return
	}
	l.out.B = l.appendReplay(l.out.B, joined, f, ch)
	c.Replayed(joined.Replay)
	switch {
	case !joined.Ended:
	case f.Frames():
		l.out.B = f.AppendEnd(l.out.B)
		fallthrough
	case !f.Chunked():
		c.EndAfter()
	}
}

// appendReplay appends the stored messages that a Join has returned, and the end.
func (l *loop) appendReplay(dst []byte, joined *channel.Joined, f wire.Form, ch wire.Channel) []byte {
	for i := range joined.Replay {
		dst = f.AppendMessage(dst, ch, &joined.Replay[i], &l.scratch.Frame)
	}
	if joined.Ended {
		dst = f.AppendMessage(dst, ch, &channel.Message{Seq: joined.Next, Type: channel.Ended}, &l.scratch.Frame)
	}
	return dst
}

// LongAnswer answers a poll with a backlog that is too long for one write, behind an event
// if first is not nil.
func (c *Conn) LongAnswer(joined *channel.Joined, style *wire.PollStyle, first *wire.Event) {
	l := c.loop
	c.Remember(style)
	l.out.B = style.AppendLongHead(l.out.B, c.has(flagHTTP10))
	if c.has(flagHTTP10) {
		c.set(flagClose)
	}
	if first != nil {
		l.scratch.Body = style.AppendLongFirst(l.scratch.Body[:0], first)
		if c.has(flagHTTP10) {
			l.out.B = append(l.out.B, l.scratch.Body...)
		} else {
			l.out.B = wire.AppendChunk(l.out.B, l.scratch.Body)
		}
	}
	l.beginReplay(c, joined, first != nil)
}

// beginReplay puts the backlog of a subscriber on its way. begun: see replay.
func (l *loop) beginReplay(c *Conn, joined *channel.Joined, begun bool) {
	p := l.newReplay(&c.subscription, joined)
	p.begun = begun
	if c.transport == wire.TransportPoll {
		p.end = joined.End
	}
}

// newReplay puts the backlog of one subscription on its way.
func (l *loop) newReplay(s *subscription, joined *channel.Joined) *replay {
	c := s.conn
	c.set(flagReplaying)
	p := &replay{conn: c, sub: s}
	if joined.Ended {
		p.over = channel.Message{Seq: joined.End, Type: channel.Ended}
	}
	if l.replays == nil {
		l.replays = make(map[int32]*replay)
	}
	if p.other = l.replays[c.fd]; p.other == nil {
		c.marks &^= markAwaited // of a replay that has ended meanwhile
	}
	l.replays[c.fd] = p
	l.replayQueue.push(p)
	if !l.inRun {
		l.rearm()
	}
	return p
}

// endReplay lets c go on as a subscriber that is up to date, or leave.
func (l *loop) endReplay(c *Conn) {
	c.clear(flagReplaying)
	l.replays[c.fd].sub = nil // it may be in the queue still
	delete(l.replays, c.fd)
	l.reactor.hub.EndRead(c.ch)
}

// writable is called when the socket fd takes bytes again.
func (l *loop) writable(fd int32) {
	for p := l.replays[fd]; p != nil; p = p.other {
		p.conn.marks &^= markAwaited
		l.replayQueue.push(p)
	}
}

// replaySome puts out pieces, up to about budget bytes.
func (l *loop) replaySome(budget int) {
	for budget > 0 {
		p := l.replayQueue.pop()
		if p == nil {
			return
		}
		c := p.conn
		if p.sub == nil || c.has(flagDoomed) {
			continue
		}
		l.cur = c
		if c.outbound() == 0 {
			budget -= l.replayOne(p)
		}
		l.cur = nil
		switch {
		case p.sub == nil || c.has(flagDoomed):
		case c.outbound() == 0:
			l.replayQueue.push(p)
		case c.marks&markAwaited == 0: // one wait is enough for all of its channels
			c.marks |= markAwaited
			l.reactor.writable.await(l, c)
		}
	}
}

// replayOne puts out the next piece and returns its size.
func (l *loop) replayOne(p *replay) (size int) {
	c := p.conn
	if c.bundle != nil {
		return l.replayBundled(p)
	}
	limit := l.pieceLimit()
	piece := l.reactor.hub.Read(c.ch, c.next, limit, l.scratch.Replay[:0])
	ms := piece.Messages
	if piece.Lost {
		// It is slower than the channel. It comes back, and gets the rest of what is stored.
		l.doom(c, ReasonSlowConsumer)
		return 0
	}
	l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], []byte(c.ch.Name()))
	n, over := 0, piece.End
	if c.transport == wire.TransportPoll {
		n, over = l.appendLong(p, ms, limit, over)
	} else {
		n = l.appendOpen(c, ms, limit)
	}
	if n > 0 {
		c.next, p.begun = ms[n-1].Seq+1, true
	}
	over = over && (n == len(ms) || c.transport == wire.TransportPoll)
	if over && p.over.Type != channel.Data && c.transport != wire.TransportPoll {
		l.scratch.Body = wire.OpenForm(c.transport, c.has(flagHTTP10)).AppendMessage(l.scratch.Body, c.from(), &p.over, &l.scratch.Frame)
	}
	c.Replayed(ms[:n])
	clear(ms)
	size = len(l.scratch.Body)
	c.since = l.now
	if size > 0 && !c.send(l.scratch.Body) || !over {
		return size
	}
	l.replayed(p)
	return size
}

// replayed goes on behind the last piece.
func (l *loop) replayed(p *replay) {
	c := p.conn
	l.endReplay(c)
	switch {
	case c.transport == wire.TransportPoll:
		c.endResponse(ReasonAnswered)
	case p.over.Type == channel.Closed:
		c.endOpen(ReasonChannelClosed)
	case p.over.Type == channel.Ended:
		c.endOpen(ReasonChannelEnded)
	default:
		l.arm(c)
	}
}

// appendOpen puts messages into the scratch body, as many as fit, and returns how many.
func (l *loop) appendOpen(c *Conn, ms []channel.Message, limit int) (n int) {
	f := wire.OpenForm(c.transport, c.has(flagHTTP10))
	b := l.scratch.Body[:0]
	for ; n < len(ms); n++ {
		was := len(b)
		b, l.scratch.Frame = room(b, &ms[n]), room(l.scratch.Frame[:0], &ms[n])
		if b = f.AppendMessage(b, c.from(), &ms[n], &l.scratch.Frame); len(b) > limit && n > 0 {
			b = b[:was]
			break
		}
	}
	l.scratch.Body = b
	return n
}

// room makes room for a large message at once, where append would double again and again.
func room(b []byte, m *channel.Message) []byte {
	if len(m.Content) < replayPiece {
		return b
	}
	return slices.Grow(b, len(m.Content)+replayPiece/2)
}

// appendLong is the same for a poll's answer, which ends at p.end; over says whether that
// is here.
func (l *loop) appendLong(p *replay, ms []channel.Message, limit int, stored bool) (n int, over bool) {
	c := p.conn
	style := c.pollStyle()
	b := l.scratch.Frame[:0]
	for ; n < len(ms) && ms[n].Seq < p.end; n++ {
		was := len(b)
		b = room(b, &ms[n])
		if b = style.AppendLong(b, c.from(), &ms[n], p.begun || n > 0); len(b) > limit && n > 0 {
			b = b[:was]
			break
		}
	}
	over = n == len(ms) && stored || n > 0 && ms[n-1].Seq+1 >= p.end || n < len(ms) && ms[n].Seq >= p.end
	if over && p.over.Type == channel.Ended && p.over.Seq == p.end {
		end := wire.EndEvent(c.from(), p.over.Seq)
		b = style.AppendLongEnd(b, &end)
	} else if over {
		b = style.AppendLongEnd(b, nil)
	}
	l.scratch.Frame = b
	if c.has(flagHTTP10) {
		l.scratch.Body = append(l.scratch.Body[:0], b...)
		return n, over
	}
	l.scratch.Body = l.scratch.Body[:0]
	if len(b) > 0 {
		l.scratch.Body = wire.AppendChunk(l.scratch.Body, b)
	}
	if over {
		l.scratch.Body = append(l.scratch.Body, wire.LastChunk...)
	}
	return n, over
}

// passBy is the delivery of b to a subscriber whose backlog is on its way: it reads the
// messages from the channel's buffer. What is not stored there is noted.
func (l *loop) passBy(b *batch, c *Conn) {
	last := &b.msgs[len(b.msgs)-1]
	switch {
	case last.Type == channel.Closed || last.Type == channel.Ended:
		l.replays[c.fd].over = *last
	case last.Type == channel.Final:
		l.replays[c.fd].over = channel.Message{Seq: last.Seq + 1, Type: channel.Ended}
	case last.Type != channel.Moved:
	case c.transport == wire.TransportPoll:
		l.doom(c, ReasonUnavailable) // its answer cannot be ended; it asks again
	default:
		l.endReplay(c)
		if c.tellsPosition() {
			c.rejoin(last)
			return
		}
		c.next = last.Seq
		l.deliver(b, &c.subscription)
	}
}
