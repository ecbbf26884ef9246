package server

import (
	"errors"

	"icomet/channel"
)

// errParked says that a request waits for the engine: it is served again when what it
// needs is there.
var errParked = errors.New("the request waits for the engine")

// maxReplay is the largest replay, in messages, whose space is kept for the next.
const maxReplay = 1024

// join joins a channel for r's response; when that subscribes, c is in the channel's
// list. The replay in what it returns is valid until the handler returns; replayed is
// owed for it. noop is the number of the first heartbeat. Errors: errParked, or the
// hub's, as channel.Hub.Join gives them.
func (c *conn) join(j *channel.Join, t transport, noop int64) (joined channel.Joined, err error) {
	l := c.loop
	j.Sink, j.OneShot = l.sink, t == transportPoll
	if j.Fetched, err = c.fetched(); err == nil {
		joined, err = l.reactor.hub.Join(j, l.scratch.replay[:0])
	}
	if !joined.Subscribed {
		c.leaveOpen()
	}
	if err == channel.ErrFetch {
		c.parkJoin(j)
		return joined, errParked
	}
	if err == nil && joined.Subscribed {
		c.set(flagServed)
		c.ch, c.next, c.noop, c.transport = joined.Channel, joined.Next, noop, t
		c.since = l.now
		l.subscribe(c)
	}
	return joined, err
}

// replayed counts a replay and keeps its space, but not its messages.
func (c *conn) replayed(ms []channel.Message) {
	l := c.loop
	l.stats.replayed.Add(uint64(len(ms)))
	clear(ms)
	if l.scratch.replay = ms[:0]; cap(ms) > maxReplay {
		l.scratch.replay = nil
	}
}

// watchPresence makes c a subscriber of presence. Errors: errParked, or why the engine
// cannot bring presence to this node.
func (c *conn) watchPresence(r *request) error {
	there, err := c.fetched()
	if !there {
		there, err = c.parkWatch()
	}
	if err != nil {
		return err
	}
	if !there {
		return errParked
	}
	l := c.loop
	l.out.B = c.appendOpenHead(l.out.B, r, transportPresence)
	c.ch, c.transport = nil, transportPresence
	l.subscribe(c)
	l.reactor.hub.WatchPresence(l.sink, true)
	return nil
}

// heartbeat tells a subscriber that the connection lives. A poll ends with it.
func (c *conn) heartbeat() {
	l := c.loop
	l.scratch.name = appendJSONBody(l.scratch.name[:0], []byte(c.ch.Name()))
	e := event{typ: typeNoop, cname: l.scratch.name, seq: c.noop}
	c.noop = max(c.noop, c.noop+1) // the largest has none behind it
	l.stats.heartbeats.Add(1)
	if c.transport == transportPoll {
		style := c.pollStyle()
		l.scratch.body = style.appendEvent(l.scratch.body[:0], &e)
		l.scratch.frame = style.appendAnswer(l.scratch.frame[:0], l.scratch.body)
		if c.send(l.scratch.frame) {
			c.endResponse(reasonAnswered)
		}
		return
	}
	l.scratch.body = openForm(c.transport, c.has(flagHTTP10)).appendOpen(l.scratch.body[:0], &e, &l.scratch.frame)
	c.send(l.scratch.body)
}
