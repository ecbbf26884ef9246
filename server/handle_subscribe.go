package server

import (
	"bytes"
	"errors"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// pollStyle is what the answer to a poll looks like, or it answers 400. callback is used
// when the request has no cb; an empty cb asks for bare JSON.
func pollStyle(c *reactor.Conn, r *reactor.Request, callback []byte) (style wire.PollStyle, ok bool) {
	if r.Params.Has[params.Callback] {
		if callback, ok = c.Callback(r); !ok {
			return style, false
		}
	}
	return c.NewPollStyle(r, callback), true
}

// poll subscribes until there is something to answer.
func (s *Server) poll(c *reactor.Conn, r *reactor.Request, callback []byte) {
	style, ok := pollStyle(c, r, callback)
	if !ok {
		return
	}
	if r.Params.Channels() > 1 {
		s.pollMany(c, r, &style)
		return
	}
	w := wish{transport: wire.TransportPoll}
	joined, err := s.join(c, r, &w)
	ch, out, sc := w.channel, c.Out(), c.Scratch()
	if err != nil {
		if e, ok := reactor.RefusalEvent(ch, err); ok {
			c.RefuseInBand(r, r.Params.Get(params.Cname), err)
			sc.Body = style.AppendStored(sc.Body[:0], &e, ch, nil, nil)
			out.B = style.AppendAnswer(out.B, sc.Body)
		}
		return
	}
	if joined.Subscribed && !joined.More {
		c.Remember(&style)
		return
	}
	var first, last *wire.Event
	if e, ok := reactor.FirstEvent(w.transport, &w.Join, &joined, w.channel); ok {
		first = &e
	}
	if joined.More {
		c.LongAnswer(&joined, &style, first)
		return
	}
	if joined.Ended {
		end := wire.EndEvent(ch, joined.Next)
		last = &end
	}
	sc.Body = style.AppendStored(sc.Body[:0], first, ch, joined.Replay, last)
	c.Replayed(joined.Replay)
	out.B = style.AppendAnswer(out.B, sc.Body)
}

// open subscribes with an endless response. Head, preamble and backlog leave in one
// write.
func (s *Server) open(c *reactor.Conn, r *reactor.Request, t wire.Transport) {
	if r.Params.Channels() > 1 {
		s.openMany(c, r, t)
		return
	}
	w := wish{transport: t}
	if !w.readRaw(c, r) {
		return
	}
	joined, err := s.join(c, r, &w)
	t = w.transport
	f := wire.OpenForm(t, r.Minor == 0)
	out, sc := c.Out(), c.Scratch()
	if err != nil {
		s.refuseOpen(c, r, &w, f, err)
		return
	}
	if w.hadAll(&joined) {
		c.NoContent(r)
		return
	}
	out.B = c.AppendOpenHead(out.B, r, t)
	if first, ok := reactor.FirstEvent(w.transport, &w.Join, &joined, w.channel); ok {
		out.B = f.AppendOpen(out.B, &first, &sc.Frame)
	}
	c.Backlog(&joined, f, w.channel)
}

// refuseOpen answers a subscriber who gets no response that stays open.
func (s *Server) refuseOpen(c *reactor.Conn, r *reactor.Request, w *wish, f wire.Form, err error) {
	e, ok := reactor.RefusalEvent(w.channel, err)
	out, sc := c.Out(), c.Scratch()
	switch {
	case err == channel.ErrNotFound:
		c.NoContent(r)
	case !ok:
	case w.transport.Raw():
		c.Refuse(r, rawStatus(err), e.Content)
	default:
		c.RefuseInBand(r, r.Params.Get(params.Cname), err)
		out.B = c.AppendOpenHead(out.B, r, w.transport)
		out.B = f.AppendEnd(f.AppendOpen(out.B, &e, &sc.Frame))
		if !f.Chunked() {
			c.EndAfter()
		}
	}
}

// rawStatus is the status of a refusal that cannot be told in band.
func rawStatus(err error) int {
	if err == channel.ErrToken {
		return 401
	}
	return 429
}

// errAnswered says that the request has been answered, or that it will be served again.
var errAnswered = errors.New("answered")

// wish is what a subscriber asks for.
type wish struct {
	channel.Join
	transport wire.Transport
	channel   wire.Channel
	noop      int64
}

// readRaw makes the transport the one for contents alone if the request asks for that, or
// answers 400.
func (w *wish) readRaw(c *reactor.Conn, r *reactor.Request) bool {
	if w.transport == wire.TransportIframe {
		return true
	}
	raw, ok := c.Flag(r, params.Raw)
	switch {
	case !raw:
	case w.transport == wire.TransportSSE:
		w.transport = wire.TransportRawSSE
	case w.transport.Frames():
		w.transport = wire.TransportRawWebSocket
	default:
		w.transport = wire.TransportRawStream
	}
	w.Existing = raw
	return ok
}

// hadAll reports that the channel has ended and the subscriber has had all of it. It is
// answered 204, after which an EventSource stops; who reads contents alone would not learn
// of the end in another way. A reader of contents that asks from now gets nothing either.
func (w *wish) hadAll(joined *channel.Joined) bool {
	if !joined.Ended || joined.More || w.Last > 0 || w.transport != wire.TransportSSE && !w.transport.Raw() {
		return false
	}
	return w.transport.Raw() && w.Since <= 0 ||
		w.Since >= joined.Next && (w.Epoch == 0 || w.Epoch == joined.Channel.Epoch())
}

// join reads the parameters and joins the channel; when that subscribes, c is in its list.
// Errors: errAnswered, channel.ErrNotFound, or one for inBand.
func (s *Server) join(c *reactor.Conn, r *reactor.Request, w *wish) (joined channel.Joined, err error) {
	if !w.readOne(c, r) {
		return joined, errAnswered
	}
	sc := c.Scratch()
	sc.Name = wire.AppendJSON(sc.Name[:0], w.Name)
	w.channel.Name = sc.Name
	if err = c.Over(); err == nil {
		err = s.authorize(w, subscriberToken(r))
	}
	if err == nil {
		err = s.admitConnection(c, r)
	}
	if err != nil {
		return joined, err
	}
	joined, err = c.Join(&w.Join, w.transport, w.noop)
	switch err {
	case nil:
		w.channel.Epoch = joined.Channel.Epoch()
	case reactor.ErrParked:
		err = errAnswered
	case channel.ErrUnavailable, channel.ErrOverloaded, channel.ErrStopped:
		refuseUnavailable(c, r, w.transport, err)
		err = errAnswered
	}
	return joined, err
}

// readOne reads what is asked for by who names one channel, or answers 400.
func (w *wish) readOne(c *reactor.Conn, r *reactor.Request) (ok bool) {
	if w.noop, ok = c.Int(r, params.Noop); !ok || !w.read(c, r) {
		return false
	}
	if w.transport == wire.TransportSSE || w.transport == wire.TransportRawSSE {
		w.readEventID(r)
	}
	return true
}

// read reads what is asked for of a channel, or answers 400.
func (w *wish) read(c *reactor.Conn, r *reactor.Request) (ok bool) {
	if w.Name, ok = c.Cname(r); !ok {
		return false
	}
	if w.Since, ok = c.Int(r, params.Seq); !ok {
		return false
	}
	if w.Epoch, ok = c.Epoch(r); !ok {
		return false
	}
	if w.Last, ok = c.Int(r, params.Last); !ok {
		return false
	}
	if w.Last < 0 {
		c.Refuse(r, 400, "last is below 0")
		return false
	}
	if r.Params.Has[params.Last] {
		w.Since = 0
	}
	w.Told = r.Params.Has[params.Epoch] && !w.transport.Raw()
	w.Position = r.Params.Has[params.Epoch]
	return true
}

// readEventID lets the event id that a client has had last win over the parameters. A
// browser sends it when it connects again, in a field; polyfills that cannot set one put it
// into the query. What is not an event id is ignored.
func (w *wish) readEventID(r *reactor.Request) {
	id, ok := parseEventID(r.Get("last-event-id"))
	if !ok {
		id, ok = parseEventID(r.Params.Get(params.LastEventID))
	}
	if ok {
		w.goOnBehind(id)
	}
}

// eventID is the event that a client has had last. Epoch 0: of an unknown life.
type eventID struct {
	epoch uint32
	seq   int64
}

// goOnBehind asks for what follows an event.
func (w *wish) goOnBehind(id eventID) {
	w.Since, w.Epoch, w.Last = max(id.seq, id.seq+1), id.epoch, 0 // no overflow at the largest number
	w.Position = w.Position || id.epoch != 0
}

// parseEventID reads EPOCH-SEQ, or a plain SEQ.
func parseEventID(text []byte) (id eventID, ok bool) {
	if head, tail, found := bytes.Cut(text, []byte("-")); found && len(head) > 0 {
		if id.epoch, ok = wire.ParseEpoch(head); !ok || id.epoch == 0 || len(tail) == 0 || tail[0] == '-' || tail[0] == '+' {
			return eventID{}, false
		}
		text = tail
	}
	id.seq, ok = httpparse.ParseInt(text)
	return id, ok
}

// subscriberToken is the token parameter or, without one, what is in Authorization: clients
// that can set a field keep the token out of the URL, which proxies log.
func subscriberToken(r *reactor.Request) []byte {
	if token := r.Params.Get(params.Token); len(token) > 0 {
		return token
	}
	return access.Bearer(&r.Request)
}

// admitConnection checks what depends on no channel. When it returns nil, c may be counted
// for its open response.
func (s *Server) admitConnection(c *reactor.Conn, r *reactor.Request) error {
	if over := c.Over(); over != nil {
		return over
	}
	if s.monitor.MemoryShort() && !c.Served() {
		// A connection that has been served before comes back from a poll, and stays.
		return channel.ErrMemory
	}
	return c.EnterOpen(r)
}

// refuseUnavailable answers a subscriber whose channel cannot be fetched. An
// EventSource never comes back after a status, but does after a broken connection.
func refuseUnavailable(c *reactor.Conn, r *reactor.Request, t wire.Transport, err error) {
	if t == wire.TransportSSE || t == wire.TransportRawSSE {
		c.Drop(reactor.ReasonUnavailable)
		return
	}
	c.Refuse(r, 503, err.Error()+"; try again")
}
