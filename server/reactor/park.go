package reactor

import (
	"sync/atomic"

	"icomet/channel"
	"icomet/server/wire"
)

// parked waits for what the engine has to fetch before a request can be served. The bytes
// of the request stay where they are, and when the engine is done the request is parsed
// and served again, with flagFetched. So an endpoint needs no second half, and the memory
// engine, which never has to fetch, pays nothing.
//
// With a transport it stands for a subscriber whose channel has moved: its response is
// open already.
type parked struct {
	state atomic.Int32 // as an answer's
	res   channel.Result

	conn *Conn
	name []byte // of the channel whose place is to be released; nil: presence

	transport wire.Transport
	seq, noop int64
}

// Done takes the engine's result. It is called once. Concurrency-safe.
func (p *parked) Done(res channel.Result) {
	p.res = res
	if !p.state.CompareAndSwap(answerCalling, answerFinished) {
		p.conn.loop.post(p.arrived)
	}
}

// wait parks the connection until the result is there.
func (p *parked) wait() {
	p.conn.set(flagParked)
	if !p.state.CompareAndSwap(answerCalling, answerParked) {
		p.conn.loop.post(p.arrived)
	}
}

// parkJoin fetches what the hub cannot tell.
func (c *Conn) parkJoin(j *channel.Join) {
	wish := *j // escapes here and not in join, which memory runs too
	p := &parked{conn: c, name: append([]byte(nil), j.Name...)}
	c.loop.reactor.engine.Fetch(&wish, p)
	p.wait()
}

// parkWatch has presence brought to this node. It reports that it is there already.
func (c *Conn) parkWatch() (there bool, err error) {
	p := &parked{conn: c}
	c.loop.reactor.engine.Watch(p)
	if p.state.Load() == answerFinished {
		return true, p.res.Err
	}
	p.wait()
	return false, nil
}

// arrived has the loop go on with the request in this run. It runs on the loop.
func (p *parked) arrived() { p.conn.loop.arrivals = append(p.conn.loop.arrivals, p) }

// goOn goes on with the request.
func (p *parked) goOn() {
	c := p.conn
	l := c.loop
	if p.name != nil && p.res.Err == nil {
		defer func() { l.reactor.engine.Release(p.name) }() // the subscriber counts by then
	}
	c.clear(flagParked)
	if c.state != stateReading || c.has(flagDoomed) {
		return
	}
	l.cur = c
	if p.transport != wire.TransportNone {
		l.moveOn(p)
	} else {
		c.set(flagFetched)
		c.exchange().fetchErr = p.res.Err
		c.ingest(nil)
		c.clear(flagFetched)
		if c.ex != nil {
			c.ex.fetchErr = nil
		}
	}
	l.cur = nil
}

// fetched reports that the request is served again, and the engine's error.
func (c *Conn) fetched() (again bool, err error) {
	if !c.has(flagFetched) {
		return false, nil
	}
	return true, c.ex.fetchErr
}

// rejoin lets a subscriber that was told that its channel goes on at seq join the channel
// as it is now.
func (c *Conn) rejoin(seq int64) {
	l := c.loop
	p := &parked{conn: c, name: []byte(c.ch.Name()), transport: c.transport, seq: seq, noop: c.noop}
	l.detach(c)
	l.moveOn(p)
}

// moveOn joins the channel, or has it fetched first. Token and limits are not checked
// again.
func (l *loop) moveOn(p *parked) {
	c := p.conn
	j := channel.Join{Name: p.name, Since: p.seq, Sink: l.sink, Fetched: true, Limit: l.pieceLimit(), Keep: int(l.reactor.settings.Load().OutboundBuffer)}
	err := p.res.Err
	var joined channel.Joined
	if err == nil {
		joined, err = l.reactor.hub.Join(&j, l.scratch.Replay[:0])
	}
	if err == channel.ErrFetch {
		next := &parked{conn: c, name: p.name, transport: p.transport, seq: p.seq, noop: p.noop}
		l.reactor.engine.Fetch(&j, next)
		next.wait()
		return
	}
	if err != nil {
		l.doom(c, ReasonUnavailable) // it comes back with its seq
		return
	}
	c.ch, c.next, c.noop, c.transport = joined.Channel, joined.Next, p.noop, p.transport
	c.since = l.now
	l.subscribe(c)
	l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], p.name)
	f := wire.OpenForm(c.transport, c.has(flagHTTP10))
	b := l.scratch.Body[:0]
	if joined.TellNext {
		e := wire.NextSeqEvent(l.scratch.Name, joined.Next)
		b = f.AppendOpen(b, &e, &l.scratch.Frame)
	}
	for i := range joined.Replay {
		b = f.AppendMessage(b, l.scratch.Name, &joined.Replay[i], &l.scratch.Frame)
	}
	l.scratch.Body = b
	c.Replayed(joined.Replay)
	c.send(b)
	if joined.More {
		l.beginReplay(c, 0)
	}
	l.arm(c)
}
