package reactor

import (
	"sync/atomic"
	"time"

	"icomet/channel"
	"icomet/server/wire"
)

// parkedAll waits for the engine to fetch several channels of one request. Then the request
// is served again, as with parked.
type parkedAll struct {
	conn  *Conn
	left  atomic.Int32
	waits []parkedOne
}

// parkedOne is the Done of one of them.
type parkedOne struct {
	of   *parkedAll
	name []byte
	err  error
}

// Done takes the engine's result. It is called once. Concurrency-safe.
func (p *parkedOne) Done(res channel.Result) {
	p.err = res.Err
	p.of.done()
}

func (p *parkedAll) done() {
	if p.left.Add(-1) == 0 {
		p.conn.loop.post(func() { p.conn.loop.arrivals = append(p.conn.loop.arrivals, p) })
	}
}

// parkAll fetches those of list that away names, all at the same time.
func (c *Conn) parkAll(list []Wanted, away []int) {
	p := &parkedAll{conn: c, waits: make([]parkedOne, len(away))}
	p.left.Store(int32(len(away)) + 1)
	c.set(flagParked)
	for k, i := range away {
		wish := list[i].Join
		p.waits[k] = parkedOne{of: p, name: append([]byte(nil), wish.Name...)}
		c.loop.reactor.engine.Fetch(&wish, &p.waits[k])
	}
	p.done()
}

// goOn serves the request again.
func (p *parkedAll) goOn() {
	c := p.conn
	l := c.loop
	defer func() {
		for i := range p.waits {
			if p.waits[i].err == nil {
				l.reactor.engine.Release(p.waits[i].name)
			}
		}
	}()
	c.clear(flagParked)
	if c.state != stateReading || c.has(flagDoomed) {
		return
	}
	l.cur = c
	ex := c.exchange()
	ex.fetched = make(map[string]error, len(p.waits))
	for i := range p.waits {
		ex.fetched[string(p.waits[i].name)] = p.waits[i].err
	}
	c.set(flagFetched)
	c.ingest(nil)
	c.clear(flagFetched)
	if c.ex != nil {
		c.ex.fetched = nil
	}
	l.cur = nil
}

// parkedMember waits for the engine to fetch the channel of a member.
type parkedMember struct {
	res  channel.Result
	m    *member
	wish channel.Join
	// before is set when the channel has moved: what the member has had of it.
	before *parked
}

// Done takes the engine's result. It is called once. Concurrency-safe.
func (p *parkedMember) Done(res channel.Result) {
	p.res = res
	p.m.conn.loop.post(func() { p.m.conn.loop.arrivals = append(p.m.conn.loop.arrivals, p) })
}

// fetchMember has the engine fetch the channel of a member.
func (c *Conn) fetchMember(p *parkedMember) {
	if p.m.state != memberAway {
		p.m.state = memberAway
		c.bundle.live++
	}
	c.loop.reactor.engine.Fetch(&p.wish, p)
}

// waitMember has a member wait that could not be fetched.
func (c *Conn) waitMember(m *member, w *Wanted) {
	j := w.Join
	j.Name, j.Token = append([]byte(nil), j.Name...), append([]byte(nil), j.Token...)
	c.later(&parkedMember{m: m, wish: j})
}

// later tries again in a while.
func (c *Conn) later(p *parkedMember) {
	if p.m.state != memberAway {
		p.m.state = memberAway
		c.bundle.live++
	}
	l := c.loop
	time.AfterFunc(retryMember, func() {
		l.post(func() {
			if p.m.state == memberAway && c.bundle != nil {
				c.fetchMember(p)
			}
		})
	})
}

// goOn joins the channel that has been fetched.
func (p *parkedMember) goOn() {
	m := p.m
	c := m.conn
	l := c.loop
	if p.res.Err == nil {
		defer l.reactor.engine.Release(p.wish.Name) // the subscriber counts by then
	}
	if m.state != memberAway || c.bundle == nil || c.has(flagDoomed) {
		return
	}
	if unavailable(p.res.Err) {
		c.later(p)
		return
	}
	l.cur = c
	c.joinMember(p, p.res.Err)
	c.flushBundle()
	l.cur = nil
}

// joinMember joins the channel of a member, or has it fetched first.
func (c *Conn) joinMember(p *parkedMember, err error) {
	l, m := c.loop, p.m
	w := Wanted{Join: p.wish, Err: err}
	if w.Err == nil {
		w.Join.Fetched = m.state == memberAway // token and limits have been checked
		if c.joinOne(&w, c.transport.Polls(), l.pieceLimit()); w.Err == channel.ErrFetch {
			c.fetchMember(p)
			return
		}
		if w.Joined.More && c.transport.Polls() { // its answer is the beginning
			list := []Wanted{w}
			c.readPieces(list)
			w = list[0]
			w.Joined.More = false
			l.reactor.hub.EndRead(w.Joined.Channel)
		}
	}
	if m.state == memberAway {
		m.state = memberOver
		c.bundle.live--
	}
	if _, told := RefusalEvent(wire.Channel{}, w.Err); told {
		c.refuseMember(m.name, w.Err)
		c.bundle.refused = true
	}
	c.enterMember(m, &w)
	if p.before != nil && w.Err == nil {
		w.Joined.Recovery = p.before.moved(&w.Joined)
		w.Joined.TellNext = w.Joined.TellNext && !m.told
	}
	c.beginMember(m, &w)
	c.forgetOver(m)
	if c.gather(); c.bundle.live == 0 && (w.Joined.Ended || !c.bundle.commanded) {
		c.bundle.over = true
	}
}

// rejoinMember lets a member whose channel has moved join the channel as it is now.
func (l *loop) rejoinMember(m *member, moved *channel.Message) {
	c := m.conn
	p := &parkedMember{
		m: m, before: &parked{epoch: m.epoch, had: m.next, renamed: moved.NewEpoch()},
		wish: channel.Join{Name: []byte(m.name), Since: moved.Seq, Told: m.told, Fetched: true},
	}
	c.leaveMember(m)
	m.state = memberAway
	c.bundle.live++
	c.joinMember(p, nil)
}

// beginBundledReplay puts the backlog of a member on its way.
func (l *loop) beginBundledReplay(m *member, joined *channel.Joined) {
	m.replaying = true
	l.newReplay(&m.subscription, joined)
}

// endBundledReplay ends the replay of a member.
func (l *loop) endBundledReplay(m *member) {
	c := m.conn
	link := l.replays[c.fd]
	if link.sub == &m.subscription {
		if l.replays[c.fd] = link.other; link.other == nil {
			delete(l.replays, c.fd)
			c.clear(flagReplaying)
		}
		link.sub = nil
	} else {
		for link.other.sub != &m.subscription {
			link = link.other
		}
		link.other.sub = nil // it may be in the queue still
		link.other = link.other.other
	}
	m.replaying = false
	l.reactor.hub.EndRead(m.ch)
}

// replayBundled puts out the next piece of a member's backlog and returns its size.
func (l *loop) replayBundled(p *replay) (size int) {
	c, m := p.conn, p.sub.member()
	if c.bundle.out != nil { // what was gathered before comes before
		if c.flushBundle(); p.sub == nil || c.outbound() > 0 {
			return 0
		}
	}
	limit := l.pieceLimit()
	piece := l.reactor.hub.Read(m.ch, m.next, limit, l.scratch.Replay[:0])
	if piece.Lost {
		l.doom(c, ReasonSlowConsumer)
		return 0
	}
	ch := l.label(m)
	out := c.gather()
	n := 0
	for ; n < len(piece.Messages) && (n == 0 || len(out.B) < limit); n++ {
		out.B = room(out.B, &piece.Messages[n])
		out.B = c.form().AppendMessage(out.B, ch, &piece.Messages[n], &l.scratch.Frame)
		m.next = piece.Messages[n].Seq + 1
	}
	ended := piece.End && n == len(piece.Messages)
	l.stats.Replayed.Add(uint64(n))
	c.forget(piece.Messages)
	size = len(out.B)
	if ended {
		l.endBundledReplay(m)
		if p.over.Type != channel.Data {
			c.bundle.refused = c.bundle.refused || p.over.Type == channel.Closed
			c.tellMessages(ch, []channel.Message{p.over})
			c.memberOver(m)
		}
	}
	c.flushBundle()
	return size
}

// passByBundled is the delivery of b to a member whose backlog is on its way: it reads the
// messages from the channel's buffer. What is not stored there is noted.
func (l *loop) passByBundled(b *batch, m *member) {
	p := l.replays[m.conn.fd]
	for p.sub != &m.subscription {
		p = p.other
	}
	switch last := &b.msgs[len(b.msgs)-1]; last.Type {
	case channel.Closed, channel.Ended:
		p.over = *last
	case channel.Final:
		p.over = channel.Message{Seq: last.Seq + 1, Type: channel.Ended}
	case channel.Moved:
		l.endBundledReplay(m)
		if !m.told {
			m.next = last.Seq
			l.deliverBundled(b, m)
			return
		}
		l.rejoinMember(m, last)
	}
}
