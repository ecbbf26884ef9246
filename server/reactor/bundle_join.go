package reactor

import (
	"time"

	"icomet/channel"
	"icomet/server/wire"
)

// retryMember is how long a member waits whose channel could not be fetched.
const retryMember = time.Second

// Wanted is one of several channels that a subscriber asks for, and what came of it.
type Wanted struct {
	Join   channel.Join
	Joined channel.Joined
	Err    error
}

// JoinAll joins several channels for one response. When there is something to answer a
// poll with, it subscribes to none of them, and Answer gives it; otherwise, and for any
// other transport, BeginBundle, LeaveBundle or, of a poll that waits, Remember is owed. t is
// the transport for one channel. Errors: ErrParked; channel.ErrUnavailable when none of them
// can be had.
func (c *Conn) JoinAll(list []Wanted, t wire.Transport, noop int64) (waits bool, err error) {
	budget := c.loop.pieceLimit()
	var away []int
	for i := range list {
		w := &list[i]
		if c.joinOne(w, t.Polls(), max(1, budget)); w.Err == channel.ErrFetch {
			away = append(away, i)
		}
		for k := range w.Joined.Replay {
			budget -= len(w.Joined.Replay[k].Content)
		}
	}
	if len(away) > 0 {
		c.leaveAll(list)
		c.leaveOpen()
		c.parkAll(list, away)
		return false, ErrParked
	}
	if len(list) > 0 && noneThere(list) {
		c.leaveOpen()
		return false, list[0].Err
	}
	if t.Polls() && answersNow(list) {
		c.readPieces(list)
		c.leaveAll(list)
		c.leaveOpen()
		return false, nil
	}
	c.subscribeAll(list, t.Bundle(), noop)
	return t.Polls(), nil
}

// LeaveBundle takes back what JoinAll has joined.
func (c *Conn) LeaveBundle() { c.unsubscribe() }

// noneThere reports that the engine can fetch none of the channels.
func noneThere(list []Wanted) bool {
	for i := range list {
		if !unavailable(list[i].Err) {
			return false
		}
	}
	return true
}

// unavailable reports that the engine cannot carry out a call now.
func unavailable(err error) bool {
	return err == channel.ErrUnavailable || err == channel.ErrOverloaded || err == channel.ErrStopped
}

// joinOne joins one of several channels, unless it was refused before. ErrFetch: the engine
// has to fetch it first.
func (c *Conn) joinOne(w *Wanted, poll bool, limit int) {
	l, j := c.loop, &w.Join
	if w.Err != nil {
		return
	}
	j.Sink, j.OneShot, j.Limit = l.sink, poll, limit
	j.Keep = int(l.reactor.settings.Load().OutboundBuffer)
	if c.has(flagFetched) && c.ex.fetched != nil {
		if err, ok := c.ex.fetched[string(j.Name)]; ok {
			if w.Err = err; err != nil {
				return
			}
			j.Fetched = true
		}
	}
	w.Joined, w.Err = l.reactor.hub.Join(j, nil)
}

// leaveAll takes back the subscriptions of list, which are in no list of the loop yet.
func (c *Conn) leaveAll(list []Wanted) {
	for i := range list {
		if j := &list[i].Joined; list[i].Err == nil && j.Subscribed {
			if j.More {
				c.loop.reactor.hub.EndRead(j.Channel)
			}
			c.loop.reactor.hub.Leave(j.Channel, c.loop.sink, c.loop.subs.first(j.Channel) == nil)
		}
	}
}

// answersNow reports that a poll has an answer.
func answersNow(list []Wanted) bool {
	for i := range list {
		if w := &list[i]; w.Err != nil && !unavailable(w.Err) || w.Err == nil && (!w.Joined.Subscribed || w.Joined.More) {
			return true
		}
	}
	return false
}

// readPieces reads the beginning of the backlogs that are too long for one write: a poll
// gets the rest when it asks again.
func (c *Conn) readPieces(list []Wanted) {
	l := c.loop
	for i := range list {
		if w := &list[i]; w.Err == nil && w.Joined.More {
			w.Joined.Replay = l.reactor.hub.Read(w.Joined.Channel, w.Joined.Next, 1, nil).Messages
			w.Joined.Ended = false
		}
	}
}

// subscribeAll makes a bundle of list. The members that are refused stay in it without a
// channel, so that it names all that the client has named.
func (c *Conn) subscribeAll(list []Wanted, t wire.Transport, noop int64) {
	l := c.loop
	c.bundle, c.noop, c.transport, c.state, c.since = new(bundle), noop, t, stateSubscribed, l.now
	l.stats.subscribed(t, 1)
	for i := range list {
		m := &member{}
		m.conn = c
		c.bundle.add(m)
		c.enterMember(m, &list[i])
	}
}

// enterMember makes m a subscriber of the channel that w has joined, if it has.
func (c *Conn) enterMember(m *member, w *Wanted) {
	m.name, m.told = string(w.Join.Name), w.Join.Told
	if w.Err != nil {
		if m.epoch == 0 { // else it is known what the client has had
			if m.next = max(0, w.Join.Since); m.next > 0 {
				m.epoch = w.Join.Epoch
			}
		}
		if unavailable(w.Err) {
			c.waitMember(m, w)
		}
		return
	}
	j := &w.Joined
	m.name, m.epoch, m.next = j.Channel.Name(), j.Channel.Epoch(), j.Next
	if j.Subscribed {
		c.set(flagServed)
		m.ch, m.state = j.Channel, memberLive
		c.bundle.live++
		c.loop.subs.add(&m.subscription)
	}
}

// BeginBundle opens the response with what its channels have for it. The head is in out.
func (c *Conn) BeginBundle(r *Request, list []Wanted) {
	l, b := c.loop, c.bundle
	from := len(l.out.B)
	c.gather()
	b.refused = c.refuseSome(r, list)
	m := b.first
	for i := range list {
		c.beginMember(m, &list[i])
		m = m.behind
	}
	if b.live == 0 && !(c.transport.Frames() && b.first == nil) {
		b.over = true
	}
	out := b.out
	b.out = nil
	l.out.B = append(l.out.B, out.B...)
	l.out.B = c.appendEventIDs(l.out.B, from)
	putBuffer(out)
	if !b.over {
		return
	}
	l.out.B = c.appendEnd(l.out.B, from)
	if c.has(flagHTTP10) || c.transport.Frames() {
		c.EndAfter()
	}
	c.unsubscribe()
}

// beginMember gathers what a member gets first: a refusal, or its position and what is
// stored.
func (c *Conn) beginMember(m *member, w *Wanted) {
	l := c.loop
	ch := l.label(m)
	if w.Err != nil {
		if e, ok := RefusalEvent(ch, w.Err); ok {
			c.tell(&e)
		}
		return
	}
	j := &w.Joined
	if e, ok := FirstEvent(c.transport, &w.Join, j, ch); ok {
		c.tell(&e)
	}
	l.stats.Replayed.Add(uint64(len(j.Replay)))
	c.tellMessages(ch, j.Replay)
	switch {
	case j.More && m.state == memberLive:
		l.beginBundledReplay(m, j)
	case j.Ended:
		c.tellMessages(ch, []channel.Message{{Seq: j.Next, Type: channel.Ended}})
	}
}

// refuseSome counts the refusals among list, and reports whether there are any.
func (c *Conn) refuseSome(r *Request, list []Wanted) (refused bool) {
	for i := range list {
		if _, told := RefusalEvent(wire.Channel{}, list[i].Err); told {
			c.RefuseInBand(r, list[i].Join.Name, list[i].Err)
			refused = true
		}
	}
	return refused
}

// Answer appends the answer to a poll that JoinAll has not subscribed.
func (c *Conn) Answer(r *Request, list []Wanted, style *wire.PollStyle) {
	l := c.loop
	c.refuseSome(r, list)
	body, n := l.scratch.Body[:0], 0
	add := func(e *wire.Event) {
		body = style.AppendMore(body, e, n > 0)
		n++
	}
	for i := range list {
		w := &list[i]
		l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], w.Join.Name)
		ch := wire.Channel{Name: l.scratch.Name}
		if w.Err != nil {
			if e, ok := RefusalEvent(ch, w.Err); ok {
				add(&e)
			}
			continue
		}
		ch.Epoch = w.Joined.Channel.Epoch()
		if e, ok := FirstEvent(wire.TransportBundlePoll, &w.Join, &w.Joined, ch); ok {
			add(&e)
		}
		for k := range w.Joined.Replay {
			var more int
			body, more = style.AppendMoreMessage(body, ch, &w.Joined.Replay[k], n > 0)
			n += more
		}
		l.stats.Replayed.Add(uint64(len(w.Joined.Replay)))
		if w.Joined.Ended {
			e := wire.EndEvent(ch, w.Joined.Next)
			add(&e)
		}
	}
	l.scratch.Body = body
	l.scratch.Frame = style.AppendGathered(l.scratch.Frame[:0], body, n)
	l.out.B = style.AppendAnswer(l.out.B, l.scratch.Frame)
}

// FirstEvent is what a subscriber is told of a channel before any message, if there is
// something.
func FirstEvent(t wire.Transport, j *channel.Join, joined *channel.Joined, ch wire.Channel) (e wire.Event, ok bool) {
	switch {
	case t.Raw():
		return e, false
	case j.Told && (!t.Polls() || j.Epoch == 0 || !joined.Recovery.Recovered):
		e = wire.PositionEvent(ch, joined.First, joined.Recovery)
	case j.Position && !j.Told && !joined.Recovery.Recovered:
		e = wire.PositionEvent(ch, joined.First, joined.Recovery)
		e.Named = true
	case joined.TellNext:
		e = wire.NextSeqEvent(ch, joined.Next)
	default:
		return e, false
	}
	return e, true
}

// RefusalEvent tells a subscriber of a refusal in band: with status 200, because clients
// take any other status for a server that is down.
func RefusalEvent(ch wire.Channel, err error) (e wire.Event, ok bool) {
	switch err {
	case channel.ErrToken:
		return wire.Event{Type: wire.TypeToken, Channel: ch, Content: "Token error"}, true
	case channel.ErrTooManyChannels:
		return wire.Event{Type: wire.TypeTooMany, Channel: ch, Content: "Too many channels"}, true
	case channel.ErrTooManySubscribers, channel.ErrMemory, ErrPerIP, ErrConnections:
		return wire.Event{Type: wire.TypeTooMany, Channel: ch, Content: "Too many subscribers"}, true
	}
	return wire.Event{}, false
}
