package reactor

import (
	"errors"

	"icomet/channel"
	"icomet/server/wire"
)

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
		c.since = l.now
		l.subscribe(c)
	}
	return joined, err
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
	e := wire.Event{Type: wire.TypeNoop, Cname: l.scratch.Name, Seq: c.noop}
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
