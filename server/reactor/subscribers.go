package reactor

import (
	"errors"
	"sync/atomic"

	"icomet/channel"
	"icomet/server/wire"
)

// subscribe enters c, which has joined c.ch, into the list of its subscribers.
func (l *loop) subscribe(c *Conn) {
	l.subs.add(&c.subscription)
	c.state = stateSubscribed
	l.stats.subscribed(c.transport, 1)
}

// unsubscribe ends all subscriptions of a connection.
func (c *Conn) unsubscribe() {
	c.leaveOpen()
	c.detach()
}

// detach takes c out of its channels. Nothing else does.
func (c *Conn) detach() {
	l := c.loop
	if c.bundle != nil {
		c.leaveBundle()
	} else {
		if c.has(flagReplaying) {
			l.endReplay(c)
		}
		l.unlink(&c.subscription)
	}
	l.stats.subscribed(c.transport, -1)
	c.ch, c.state, c.transport = nil, stateReading, wire.TransportNone
}

// unlink takes a subscription off its list and out of its channel.
func (l *loop) unlink(s *subscription) {
	if b := l.working[s.ch]; b != nil && b.cursor == s {
		b.cursor = s.subNext
	}
	last := l.subs.remove(s)
	switch {
	case s.conn.transport == wire.TransportDashboard:
		l.reactor.feed.watching.Add(-1)
	case s.conn.transport != wire.TransportPresence:
		l.reactor.hub.Leave(s.ch, l.sink, last)
	case last:
		l.reactor.hub.WatchPresence(l.sink, false)
	}
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
	c.loop.stats.Replayed.Add(uint64(len(ms)))
	c.forget(ms)
}

// forget keeps the space of a replay, but not its messages.
func (c *Conn) forget(ms []channel.Message) {
	l := c.loop
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
	ch := wire.Channel{}
	if c.bundle == nil {
		l.scratch.Name = wire.AppendJSON(l.scratch.Name[:0], []byte(c.ch.Name()))
		ch = c.from()
	} else if m := c.bundle.firstLeft(); m != nil {
		ch = l.label(m)
	}
	e := wire.Event{Type: wire.TypeNoop, Channel: ch, Seq: c.noop}
	c.noop = max(c.noop, c.noop+1) // the largest has none behind it
	l.stats.Heartbeats.Add(1)
	if c.transport.Polls() {
		style := c.pollStyle()
		l.scratch.Body = style.AppendStored(l.scratch.Body[:0], &e, ch, nil, nil)
		l.scratch.Frame = style.AppendAnswer(l.scratch.Frame[:0], l.scratch.Body)
		if c.send(l.scratch.Frame) {
			c.endResponse(ReasonAnswered)
		}
		return
	}
	if c.tidyFrames(); c.state != stateSubscribed {
		return
	}
	l.scratch.Body = c.form().AppendOpen(l.scratch.Body[:0], &e, &l.scratch.Frame)
	c.send(l.scratch.Body)
}

const subTables = 256

// subIndex finds this loop's subscribers of a channel. The subscribers of one channel are
// a list, whose first member stands in a chained hash table. So a channel with one
// subscriber, the usual case, costs two pointers; a map and a list header would cost 54
// bytes. The index is split into many tables, so that growing one moves few entries.
type subIndex struct {
	tables [subTables]subTable
}

type subTable struct {
	buckets []*subscription // chained by hashNext; the length is a power of two
	n       int
}

// at is the table of a channel and the link where its chain begins.
func (x *subIndex) at(ch *channel.Channel) (*subTable, **subscription) {
	h := ch.Hash()
	t := &x.tables[h%subTables]
	if t.buckets == nil {
		t.buckets = make([]*subscription, 1)
	}
	return t, &t.buckets[h/subTables%uint32(len(t.buckets))]
}

// first is the first subscriber of ch, or nil.
func (x *subIndex) first(ch *channel.Channel) *subscription {
	_, link := x.at(ch)
	c := *link
	for c != nil && c.ch != ch {
		c = c.hashNext
	}
	return c
}

// add enters c as the first subscriber of c.ch.
func (x *subIndex) add(c *subscription) {
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
func (x *subIndex) remove(c *subscription) (last bool) {
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

// replace puts to, which has the same channel, into the place of from.
func (x *subIndex) replace(from, to *subscription) {
	to.subNext, to.subPrev, to.hashNext = from.subNext, from.subPrev, from.hashNext
	if to.subNext != nil {
		to.subNext.subPrev = to
	}
	if to.subPrev != nil {
		to.subPrev.subNext = to
	} else {
		_, link := x.at(from.ch)
		for *link != from {
			link = &(*link).hashNext
		}
		*link = to
	}
	from.subNext, from.subPrev, from.hashNext = nil, nil, nil
}

func (t *subTable) grow() {
	old := t.buckets
	t.buckets = make([]*subscription, 2*len(old))
	for _, c := range old {
		for c != nil {
			next := c.hashNext
			link := &t.buckets[c.ch.Hash()/subTables%uint32(len(t.buckets))]
			c.hashNext, *link = *link, c
			c = next
		}
	}
}

// Feed sends the same bytes to connections of the admin port that follow it, such as a
// dashboard's. They are in no count of subscribers, get no heartbeat, and are cut as
// slow consumers like any other. Its methods are concurrency-safe.
type Feed struct {
	reactor *Reactor
	// key stands for the feed among a loop's subscribers. It is no channel of the hub's.
	key      *channel.Channel
	watching atomic.Int64
}

func newFeed(r *Reactor) *Feed { return &Feed{reactor: r, key: new(channel.Channel)} }

// Watching is how many connections follow it.
func (f *Feed) Watching() int { return int(f.watching.Load()) }

// Send gives event to all that follow. It must not be changed any more.
func (f *Feed) Send(event []byte) {
	for _, l := range f.reactor.loops {
		l.post(func() { f.sendHere(l, event) })
	}
}

// sendHere serves the connections of one loop, on that loop.
func (f *Feed) sendHere(l *loop, event []byte) {
	for s := l.subs.first(f.key); s != nil; {
		c, next := s.conn, s.subNext // before the write: it may end c
		l.cur = c
		l.scratch.Frame = appendFeed(l.scratch.Frame[:0], c, event)
		c.send(l.scratch.Frame)
		s = next
	}
	l.cur = nil
}

// Follow opens a response of server-sent events that begins with what hello returns. It
// reports false, and does nothing, when there are limit followers already.
func (c *Conn) Follow(r *Request, f *Feed, limit int, hello func() []byte) bool {
	if f.watching.Add(1) > int64(limit) {
		f.watching.Add(-1)
		return false
	}
	l := c.loop
	l.out.B = c.AppendOpenHead(l.out.B, r, wire.TransportDashboard)
	c.ch, c.transport = f.key, wire.TransportDashboard
	l.out.B = appendFeed(l.out.B, c, hello())
	l.subscribe(c)
	return true
}

// appendFeed frames an event for c's response.
func appendFeed(dst []byte, c *Conn, event []byte) []byte {
	if wire.OpenForm(c.transport, c.has(flagHTTP10)).Chunked() {
		return wire.AppendChunk(dst, event)
	}
	return append(dst, event...)
}
