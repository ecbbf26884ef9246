package reactor

import (
	"sync/atomic"

	"icomet/channel"
	"icomet/httpparse/wsframe"
	"icomet/server/wire"
)

// arrival goes on with what has waited for the engine.
type arrival interface{ goOn() }

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
	epoch     uint32 // of the copy before
	had       int64  // the seq of the first message that it has not got
	renamed   uint32 // the epoch that its channel has got, if nothing else has changed
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
		c.readKept()
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

// rejoin lets a subscriber whose channel has moved join the channel as it is now.
func (c *Conn) rejoin(moved *channel.Message) {
	l := c.loop
	p := &parked{
		conn: c, name: []byte(c.ch.Name()), transport: c.transport, seq: moved.Seq, noop: c.noop,
		epoch: c.ch.Epoch(), had: c.next, renamed: moved.NewEpoch(),
	}
	c.detach()
	l.moveOn(p)
}

// moveOn joins the channel, or has it fetched first. Token and limits are not checked
// again.
func (l *loop) moveOn(p *parked) {
	c := p.conn
	poll := p.transport == wire.TransportPoll
	j := channel.Join{
		Name: p.name, Since: p.seq, Sink: l.sink, Fetched: true, OneShot: poll, Told: poll,
		Limit: l.pieceLimit(), Keep: int(l.reactor.settings.Load().OutboundBuffer),
	}
	err := p.res.Err
	var joined channel.Joined
	if err == nil {
		joined, err = l.reactor.hub.Join(&j, l.scratch.Replay[:0])
	}
	if err == channel.ErrFetch {
		next := &parked{
			conn: c, name: p.name, transport: p.transport, seq: p.seq, noop: p.noop, epoch: p.epoch, had: p.had, renamed: p.renamed,
		}
		l.reactor.engine.Fetch(&j, next)
		next.wait()
		return
	}
	if err != nil {
		l.doom(c, ReasonUnavailable) // it comes back with its seq
		return
	}
	l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], p.name)
	if joined.Subscribed {
		c.ch, c.next, c.noop, c.transport = joined.Channel, joined.Next, p.noop, p.transport
		c.since = l.now
		l.subscribe(c)
	}
	if poll {
		l.movePoll(p, &joined)
	} else {
		l.moveOpen(p, &joined)
	}
}

// moved is what a subscriber whose channel has moved misses.
func (p *parked) moved(joined *channel.Joined) channel.Recovery {
	epoch := joined.Channel.Epoch()
	switch lost := joined.First - p.had; {
	case epoch != p.epoch && epoch != p.renamed || lost < 0:
	case lost == 0:
		return channel.Recovery{Recovered: true}
	default:
		return channel.Recovery{Lost: lost, Reason: channel.ReasonTrimmed}
	}
	return channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonEpoch}
}

// moveOpen goes on with an open response. Who is not told its position has had next_seq.
func (l *loop) moveOpen(p *parked, joined *channel.Joined) {
	c := p.conn
	ch := wire.Channel{Name: l.scratch.Name, Epoch: joined.Channel.Epoch()}
	f := wire.OpenForm(p.transport, c.has(flagHTTP10))
	b := l.scratch.Body[:0]
	recovery := p.moved(joined)
	switch {
	case c.tellsPosition():
		e := wire.PositionEvent(ch, joined.First, recovery)
		b = f.AppendOpen(b, &e, &l.scratch.Frame)
	case joined.TellNext:
		e := wire.NextSeqEvent(ch, joined.Next)
		b = f.AppendOpen(b, &e, &l.scratch.Frame)
	}
	if !joined.More {
		b = l.appendReplay(b, joined, f, ch)
	}
	l.scratch.Body = b
	c.Replayed(joined.Replay)
	switch {
	case len(b) > 0 && !c.send(b):
	case joined.More:
		l.beginReplay(c, joined, false)
		l.arm(c)
	case joined.Ended && p.transport.Frames():
		c.leaveOpen()
		c.closeFrames(wsframe.CodeNormal, "", ReasonChannelEnded)
	case joined.Ended:
		c.leaveOpen()
		c.responded(ReasonChannelEnded, true)
	default:
		l.arm(c)
	}
}

// movePoll answers a poll with its position and what is stored.
func (l *loop) movePoll(p *parked, joined *channel.Joined) {
	c := p.conn
	if joined.More { // too long for one write: it asks again from where the channel goes on
		l.doom(c, ReasonUnavailable)
		return
	}
	ch := wire.Channel{Name: l.scratch.Name, Epoch: joined.Channel.Epoch()}
	style := c.pollStyle()
	recovery := p.moved(joined)
	first := wire.PositionEvent(ch, joined.First, recovery)
	var end *wire.Event
	if joined.Ended {
		e := wire.EndEvent(ch, joined.Next)
		end = &e
	}
	l.scratch.Body = style.AppendStored(l.scratch.Body[:0], &first, ch, joined.Replay, end)
	l.scratch.Frame = style.AppendAnswer(l.scratch.Frame[:0], l.scratch.Body)
	c.Replayed(joined.Replay)
	if c.send(l.scratch.Frame) {
		c.leaveOpen()
		c.responded(ReasonAnswered, false)
	}
}
