package reactor

import (
	"sync/atomic"

	"icomet/channel"
	"icomet/server/wire"
)

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
