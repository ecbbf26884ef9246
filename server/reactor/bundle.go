package reactor

import (
	"unsafe"

	"github.com/valyala/bytebufferpool"

	"icomet/channel"
	"icomet/server/wire"
)

// bundle is what a connection with several channels, or none, has besides its Conn. What
// comes for several of its channels in one run of the loop leaves in one write.
type bundle struct {
	first, last *member // in the order in which the client named them
	live        int     // members that may still bring something
	over        bool    // the last one has ended: so does the response
	refused     bool    // one was refused or closed: coming back at once is of no use
	commanded   bool    // a WebSocket has sent a command: it stays behind a refusal
	out         *bytebufferpool.ByteBuffer
	elements    int // of a poll's answer, in out
}

// member is one channel of a bundle.
type member struct {
	subscription // the first field: see subscription.member
	behind       *member
	name         string
	epoch        uint32 // of its position
	state        memberState
	told         bool // it is told its position when its channel moves
	replaying    bool // its backlog is on its way
}

type memberState uint8

const (
	memberOver memberState = iota // closed, ended, refused, or no longer in the bundle
	memberLive                    // in the channel's list of subscribers
	memberAway                    // waits for the engine
)

// member is the member of a bundle that s belongs to. Only subscriptions of connections
// with a bundle do.
func (s *subscription) member() *member { return (*member)(unsafe.Pointer(s)) }

func (b *bundle) add(m *member) {
	if b.last == nil {
		b.first = m
	} else {
		b.last.behind = m
	}
	b.last = m
}

func (b *bundle) remove(m *member) {
	var before *member
	for at := b.first; at != m; at = at.behind {
		before = at
	}
	if before == nil {
		b.first = m.behind
	} else {
		before.behind = m.behind
	}
	if b.last == m {
		b.last = before
	}
	m.behind = nil
}

// firstLeft is the first member that is not over; nil: there is none.
func (b *bundle) firstLeft() *member {
	for m := b.first; m != nil; m = m.behind {
		if m.state != memberOver {
			return m
		}
	}
	return nil
}

// find is the member with this name that is not over.
func (b *bundle) find(name []byte) *member {
	for m := b.first; m != nil; m = m.behind {
		if m.state != memberOver && m.name == string(name) {
			return m
		}
	}
	return nil
}

// label is the channel as m's events name it, with its name in the scratch space.
func (l *loop) label(m *member) wire.Channel {
	l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], []byte(m.name))
	return wire.Channel{Name: l.scratch.Name, Epoch: m.epoch}
}

// gather is where what leaves in the next write is collected.
func (c *Conn) gather() *bytebufferpool.ByteBuffer {
	b := c.bundle
	if b.out == nil {
		b.out = getBuffer()
		c.loop.gathered = append(c.loop.gathered, c)
	}
	return b.out
}

// form is the form of an open response.
func (c *Conn) form() wire.Form { return wire.OpenForm(c.transport, c.has(flagHTTP10)) }

// tell gathers an event.
func (c *Conn) tell(e *wire.Event) {
	out := c.gather()
	if !c.transport.Polls() {
		out.B = c.form().AppendOpen(out.B, e, &c.loop.scratch.Frame)
		return
	}
	style := c.pollStyle()
	out.B = style.AppendMore(out.B, e, c.bundle.elements > 0)
	c.bundle.elements++
}

// tellMessages gathers messages of m.
func (c *Conn) tellMessages(ch wire.Channel, ms []channel.Message) {
	out := c.gather()
	if !c.transport.Polls() {
		for i := range ms {
			out.B = c.form().AppendMessage(out.B, ch, &ms[i], &c.loop.scratch.Frame)
		}
		return
	}
	style := c.pollStyle()
	for i := range ms {
		var n int
		out.B, n = style.AppendMoreMessage(out.B, ch, &ms[i], c.bundle.elements > 0)
		c.bundle.elements += n
	}
}

// deliverBundled gives a member the messages of b that it has not got. They leave at the
// end of the run.
func (l *loop) deliverBundled(b *batch, m *member) {
	c := m.conn
	if m.replaying {
		l.passByBundled(b, m)
		return
	}
	first := 0
	for first < len(b.msgs) && b.msgs[first].Seq < m.next && b.msgs[first].Type != channel.Moved {
		first++
	}
	if first == len(b.msgs) {
		return
	}
	last := &b.msgs[len(b.msgs)-1]
	end := len(b.msgs)
	if last.Type == channel.Moved && m.told {
		end--
	}
	if c.transport.Polls() {
		c.tellMessages(b.from(), b.msgs[first:end])
	} else if end > first {
		e := &b.forms[c.form()]
		if e.buf == nil {
			l.encode(b, c.form())
		}
		if !c.putOut(e.buf.B[e.offsets[first]:e.offsets[end]]) {
			return
		}
	}
	l.stats.Deliveries.Add(uint64(end - first))
	switch last.Type {
	case channel.Closed, channel.Ended, channel.Final:
		c.bundle.refused = c.bundle.refused || last.Type == channel.Closed
		m.next = b.msgs[end-1].Seq
		if last.Type == channel.Final {
			m.next++
		}
		c.memberOver(m)
	case channel.Moved:
		if end > first {
			m.next = max(m.next, b.msgs[end-1].Seq+1)
		}
		l.rejoinMember(m, last)
	default:
		m.next = last.Seq + 1
	}
	c.relieve()
}

// gatherLimit is how many bytes a connection gathers at most before they leave, with one
// piece more. A run makes sliceWrites deliveries, and each may be another connection's.
const gatherLimit = 16 << 10

// putOut gathers p, or sends it if it is large: it is the same bytes for all. It reports that
// the connection goes on.
func (c *Conn) putOut(p []byte) bool {
	if len(p) < gatherLimit || c.transport == wire.TransportBundleSSE { // which gets an event id of its own
		out := c.gather()
		out.B = append(out.B, p...)
		return true
	}
	c.flushBundle()
	c.since = c.loop.now
	return c.send(p)
}

// relieve sends what has been gathered if it is too much to wait for the end of the run.
func (c *Conn) relieve() {
	if b := c.bundle; b != nil && b.out != nil && len(b.out.B) >= gatherLimit {
		c.flushBundle()
	}
}

// memberOver takes a member whose channel is over out of it. With the last one the response
// ends.
func (c *Conn) memberOver(m *member) {
	c.leaveMember(m)
	c.forgetOver(m)
	if b := c.bundle; b.live == 0 {
		b.over = true
		c.gather()
	}
}

// leaveMember takes a member out of its channel. It keeps its position.
func (c *Conn) leaveMember(m *member) {
	if m.state == memberOver {
		return
	}
	if m.replaying {
		c.loop.endBundledReplay(m)
	}
	if m.state == memberLive {
		c.loop.unlink(&m.subscription)
	}
	m.state, m.ch = memberOver, nil
	c.bundle.live--
}

// leaveBundle takes all members out of their channels.
func (c *Conn) leaveBundle() {
	b := c.bundle
	for m := b.first; m != nil; m = m.behind {
		c.leaveMember(m)
	}
	putBuffer(b.out) // gathered: nobody gets it any more
	c.bundle = nil
}

// flushGathered sends what this run has gathered.
func (l *loop) flushGathered() {
	for i := 0; i < len(l.gathered); i++ {
		c := l.gathered[i]
		l.cur = c
		c.flushBundle()
	}
	l.cur = nil
	clear(l.gathered)
	l.gathered = l.gathered[:0]
}

// flushBundle sends what has been gathered for c, and ends its response if that is over.
func (c *Conn) flushBundle() {
	b, l := c.bundle, c.loop
	if b == nil || b.out == nil {
		return
	}
	out := b.out
	b.out = nil
	defer putBuffer(out)
	b.over = b.over && b.live == 0 // a further channel may have been subscribed behind the last end
	if c.state != stateSubscribed || c.has(flagDoomed) {
		return
	}
	c.since = l.now
	if c.transport.Polls() {
		if b.elements > 0 {
			style := c.pollStyle()
			l.scratch.Body = style.AppendGathered(l.scratch.Body[:0], out.B, b.elements)
			l.scratch.Frame = style.AppendAnswer(l.scratch.Frame[:0], l.scratch.Body)
			if c.send(l.scratch.Frame) {
				c.endResponse(ReasonAnswered)
			}
		}
		return
	}
	out.B = c.appendEventIDs(out.B, 0)
	if b.over {
		out.B = c.appendEnd(out.B, 0)
	}
	if len(out.B) > 0 && !c.send(out.B) {
		return
	}
	if b.over {
		c.endResponse(ReasonChannelEnded)
	}
}

// appendEnd ends the response whose last event is in dst[from:].
func (c *Conn) appendEnd(dst []byte, from int) []byte {
	f := c.form()
	if c.bundle.refused {
		dst = f.AppendRetry(dst, from, &c.loop.scratch.Frame)
	}
	return f.AppendEnd(dst)
}

// appendEventIDs gives the last event in dst[from:] the positions of all members.
func (c *Conn) appendEventIDs(dst []byte, from int) []byte {
	if c.transport != wire.TransportBundleSSE || from == len(dst) {
		return dst
	}
	l := c.loop
	l.positions = l.positions[:0]
	for m := c.bundle.first; m != nil && len(l.positions) <= wire.MaxEventIDs; m = m.behind {
		p := wire.Position{Epoch: m.epoch}
		if p.Epoch != 0 { // else 00000000-0: nothing is known of it
			p.Seq = max(0, m.next-1)
		}
		l.positions = append(l.positions, p)
	}
	return c.form().AppendIDs(dst, from, l.positions, &l.scratch.Frame)
}
