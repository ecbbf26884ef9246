package reactor

import (
	"errors"
	"icomet/channel"
	"icomet/server/wire"
)

const subTables = 256

// subIndex finds this loop's subscribers of a channel. The subscribers of one channel are
// a list, whose first member stands in a chained hash table. So a channel with one
// subscriber, the usual case, costs two pointers; a map and a list header would cost 54
// bytes. The index is split into many tables, so that growing one moves few entries.
type subIndex struct {
	tables [subTables]subTable
}

type subTable struct {
	buckets []*Conn // chained by hashNext; the length is a power of two
	n       int
}

// at is the table of a channel and the link where its chain begins.
func (x *subIndex) at(ch *channel.Channel) (*subTable, **Conn) {
	h := ch.Hash()
	t := &x.tables[h%subTables]
	if t.buckets == nil {
		t.buckets = make([]*Conn, 1)
	}
	return t, &t.buckets[h/subTables%uint32(len(t.buckets))]
}

// first is the first subscriber of ch, or nil.
func (x *subIndex) first(ch *channel.Channel) *Conn {
	_, link := x.at(ch)
	c := *link
	for c != nil && c.ch != ch {
		c = c.hashNext
	}
	return c
}

// add enters c as the first subscriber of c.ch.
func (x *subIndex) add(c *Conn) {
	t, link := x.at(c.ch)
	for *link != nil && (*link).ch != c.ch {
		link = &(*link).hashNext
	}
	c.subPrev, c.subNext = nil, *link
	if old := *link; old != nil {
		c.hashNext, old.hashNext = old.hashNext, nil
		old.subPrev = c
		*link = c
		return
	}
	*link = c
	if t.n++; t.n > len(t.buckets) {
		t.grow()
	}
}

// remove takes c out and reports whether it was the last subscriber of c.ch.
func (x *subIndex) remove(c *Conn) (last bool) {
	if c.subNext != nil {
		c.subNext.subPrev = c.subPrev
	}
	if c.subPrev != nil {
		c.subPrev.subNext = c.subNext
		c.subPrev, c.subNext = nil, nil
		return false
	}
	t, link := x.at(c.ch)
	for *link != c {
		link = &(*link).hashNext
	}
	heir := c.subNext
	if heir != nil {
		heir.hashNext = c.hashNext
		*link = heir
	} else {
		*link = c.hashNext
		t.n--
	}
	c.subNext, c.hashNext = nil, nil
	return heir == nil
}

func (t *subTable) grow() {
	old := t.buckets
	t.buckets = make([]*Conn, 2*len(old))
	for _, c := range old {
		for c != nil {
			next := c.hashNext
			link := &t.buckets[c.ch.Hash()/subTables%uint32(len(t.buckets))]
			c.hashNext, *link = *link, c
			c = next
		}
	}
}

// subscribe enters c, which has joined c.ch, into the list of its subscribers.
func (l *loop) subscribe(c *Conn) {
	l.subs.add(c)
	c.state = stateSubscribed
	l.stats.subscribed(c.transport, 1)
}

// unsubscribe ends a subscription.
func (l *loop) unsubscribe(c *Conn) {
	c.leaveOpen()
	l.detach(c)
}

// detach takes c off its list and out of its channel. Nothing else does.
func (l *loop) detach(c *Conn) {
	if c.has(flagReplaying) {
		l.endReplay(c)
	}
	if b := l.working[c.ch]; b != nil && b.cursor == c {
		b.cursor = c.subNext
	}
	last := l.subs.remove(c)
	switch {
	case c.transport == wire.TransportDashboard:
		l.reactor.feed.watching.Add(-1)
	case c.transport != wire.TransportPresence:
		l.reactor.hub.Leave(c.ch, l.sink, last)
	case last:
		l.reactor.hub.WatchPresence(l.sink, false)
	}
	l.stats.subscribed(c.transport, -1)
	c.ch, c.state, c.transport = nil, stateReading, wire.TransportNone
}

// ErrParked says that a request waits for the engine: it is served again when what it
// needs is there.
var ErrParked = errors.New("the request waits for the engine")

// maxReplay is the largest replay, in messages, whose space is kept for the next.
const maxReplay = 1024

// Join joins a channel for r's response; when that subscribes, c is in the channel's
// list. What is stored for it goes out by Backlog, of a poll by LongAnswer if there is
// More; else the replay in what it returns is valid until the handler returns, and
// Replayed is owed for it. noop is the number of the first heartbeat. Errors: ErrParked, or the
// hub's, as channel.Hub.Join gives them.
func (c *Conn) Join(j *channel.Join, t wire.Transport, noop int64) (joined channel.Joined, err error) {
	l := c.loop
	j.Sink, j.OneShot, j.Limit = l.sink, t == wire.TransportPoll, l.pieceLimit()
	j.Keep = int(l.reactor.settings.Load().OutboundBuffer)
	if j.Fetched, err = c.fetched(); err == nil {
		joined, err = l.reactor.hub.Join(j, l.scratch.Replay[:0])
	}
	if !joined.Subscribed {
		c.leaveOpen()
	}
	if err == channel.ErrFetch {
		c.parkJoin(j)
		return joined, ErrParked
	}
	if err == nil && joined.Subscribed {
		c.set(flagServed)
		c.ch, c.next, c.noop, c.transport = joined.Channel, joined.Next, noop, t
		c.marks &^= markPosition
		if j.Told {
			c.marks |= markPosition
		}
		c.since = l.now
		l.subscribe(c)
	}
	return joined, err
}

// from is the channel of c as the messages name it, with its name in the scratch space.
func (c *Conn) from() wire.Channel {
	return wire.Channel{Name: c.loop.scratch.Name, Epoch: c.ch.Epoch()}
}

// Replayed counts a replay and keeps its space, but not its messages.
func (c *Conn) Replayed(ms []channel.Message) {
	l := c.loop
	l.stats.Replayed.Add(uint64(len(ms)))
	clear(ms)
	if l.scratch.Replay = ms[:0]; cap(ms) > maxReplay {
		l.scratch.Replay = nil
	}
}

// WatchPresence makes c a subscriber of presence. Errors: ErrParked, or why the engine
// cannot bring presence to this node.
func (c *Conn) WatchPresence(r *Request) error {
	there, err := c.fetched()
	if !there {
		there, err = c.parkWatch()
	}
	if err != nil {
		return err
	}
	if !there {
		return ErrParked
	}
	l := c.loop
	l.out.B = c.AppendOpenHead(l.out.B, r, wire.TransportPresence)
	c.ch, c.transport = nil, wire.TransportPresence
	l.subscribe(c)
	l.reactor.hub.WatchPresence(l.sink, true)
	return nil
}

// heartbeat tells a subscriber that the connection lives. A poll ends with it.
func (c *Conn) heartbeat() {
	l := c.loop
	l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], []byte(c.ch.Name()))
	e := wire.Event{Type: wire.TypeNoop, Channel: c.from(), Seq: c.noop}
	c.noop = max(c.noop, c.noop+1) // the largest has none behind it
	l.stats.Heartbeats.Add(1)
	if c.transport == wire.TransportPoll {
		style := c.pollStyle()
		l.scratch.Body = style.AppendEvent(l.scratch.Body[:0], &e)
		l.scratch.Frame = style.AppendAnswer(l.scratch.Frame[:0], l.scratch.Body)
		if c.send(l.scratch.Frame) {
			c.endResponse(ReasonAnswered)
		}
		return
	}
	l.scratch.Body = wire.OpenForm(c.transport, c.has(flagHTTP10)).AppendOpen(l.scratch.Body[:0], &e, &l.scratch.Frame)
	c.send(l.scratch.Body)
}
