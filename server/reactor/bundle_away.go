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
