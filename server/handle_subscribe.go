package server

import (
	"bytes"
	"errors"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// pollStyle is what the answer to a poll looks like, or it answers 400. callback is used
// when the request has no cb; an empty cb asks for bare JSON.
func pollStyle(c *reactor.Conn, r *reactor.Request, callback []byte) (style wire.PollStyle, ok bool) {
	if r.Params.Has[reactor.ParamCallback] {
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
	w := wish{transport: wire.TransportPoll}
	joined, err := s.join(c, r, &w)
	ch, out, sc := w.channel, c.Out(), c.Scratch()
	if err != nil {
		if e, ok := inBand(ch, err); ok {
			c.RefuseInBand(r, err)
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
	if e, ok := w.firstEvent(&joined); ok {
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

// firstEvent is what a subscriber is told before any message, if there is something.
func (w *wish) firstEvent(joined *channel.Joined) (e wire.Event, ok bool) {
	poll := w.transport == wire.TransportPoll
	tell := w.Told && (!poll || w.Epoch == 0 || !joined.Recovery.Recovered)
	switch {
	case w.transport.Raw():
		return e, false
	case tell:
		e = wire.PositionEvent(w.channel, joined.First, joined.Recovery)
	case w.Position && !w.Told && !joined.Recovery.Recovered:
		e = wire.PositionEvent(w.channel, joined.First, joined.Recovery)
		e.Named = true
	case joined.TellNext:
		e = wire.NextSeqEvent(w.channel, joined.Next)
	default:
		return e, false
	}
	return e, true
}

// open subscribes with an endless response. Head, preamble and backlog leave in one
// write.
func (s *Server) open(c *reactor.Conn, r *reactor.Request, t wire.Transport) {
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
	if first, ok := w.firstEvent(&joined); ok {
		out.B = f.AppendOpen(out.B, &first, &sc.Frame)
	}
	c.Backlog(&joined, f, w.channel)
}

// refuseOpen answers a subscriber who gets no response that stays open.
func (s *Server) refuseOpen(c *reactor.Conn, r *reactor.Request, w *wish, f wire.Form, err error) {
	e, ok := inBand(w.channel, err)
	out, sc := c.Out(), c.Scratch()
	switch {
	case err == channel.ErrNotFound:
		c.NoContent(r)
	case !ok:
	case w.transport.Raw():
		c.Refuse(r, rawStatus(err), e.Content)
	default:
		c.RefuseInBand(r, err)
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
	raw, ok := c.Flag(r, reactor.ParamRaw)
	switch {
	case !raw:
	case w.transport == wire.TransportSSE:
		w.transport = wire.TransportRawSSE
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
	if !w.read(c, r) {
		return joined, errAnswered
	}
	sc := c.Scratch()
	sc.Name = wire.AppendJSON(sc.Name[:0], w.Name)
	w.channel.Name = sc.Name
	set := s.settings.Load()
	auth := set.authOf(w.Name)
	w.Token = subscriberToken(r)
	if err := s.admit(c, r, set, w, auth == authJWT); err != nil {
		return joined, err
	}
	w.Auth, w.Known = auth == authToken, !set.config.Front.CreateOnSubscribe
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

// read reads what is asked for, or answers 400.
func (w *wish) read(c *reactor.Conn, r *reactor.Request) (ok bool) {
	if w.Name, ok = c.Cname(r); !ok {
		return false
	}
	if w.Since, ok = c.Int(r, reactor.ParamSeq); !ok {
		return false
	}
	if w.noop, ok = c.Int(r, reactor.ParamNoop); !ok {
		return false
	}
	if w.Epoch, ok = c.Epoch(r); !ok {
		return false
	}
	if w.Last, ok = c.Int(r, reactor.ParamLast); !ok {
		return false
	}
	if w.Last < 0 {
		c.Refuse(r, 400, "last is below 0")
		return false
	}
	if r.Params.Has[reactor.ParamLast] {
		w.Since = 0
	}
	w.Told = r.Params.Has[reactor.ParamEpoch] && !w.transport.Raw()
	w.Position = r.Params.Has[reactor.ParamEpoch]
	if w.transport == wire.TransportSSE || w.transport == wire.TransportRawSSE {
		w.readEventID(r)
	}
	return true
}

// readEventID lets the event id that a client has had last win over the parameters. A
// browser sends it when it connects again, in a field; polyfills that cannot set one put it
// into the query. What is not an event id is ignored.
func (w *wish) readEventID(r *reactor.Request) {
	epoch, last, ok := parseEventID(r.Get("last-event-id"))
	if !ok {
		epoch, last, ok = parseEventID(r.Params.Get(reactor.ParamLastEventID))
	}
	if ok {
		w.Since, w.Epoch, w.Last = max(last, last+1), epoch, 0 // no overflow at the largest number
		w.Position = w.Position || epoch != 0
	}
}

// parseEventID reads EPOCH-SEQ, or a plain SEQ, whose epoch is then 0.
func parseEventID(text []byte) (epoch uint32, seq int64, ok bool) {
	if head, tail, found := bytes.Cut(text, []byte("-")); found && len(head) > 0 {
		if epoch, ok = wire.ParseEpoch(head); !ok || epoch == 0 || len(tail) == 0 || tail[0] == '-' || tail[0] == '+' {
			return 0, 0, false
		}
		text = tail
	}
	seq, ok = httpparse.ParseInt(text)
	return epoch, seq, ok
}

// subscriberToken is the token parameter or, without one, what is in Authorization: clients
// that can set a field keep the token out of the URL, which proxies log.
func subscriberToken(r *reactor.Request) []byte {
	if token := r.Params.Get(reactor.ParamToken); len(token) > 0 {
		return token
	}
	return access.Bearer(&r.Request)
}

// admit checks what does not depend on the channel's state. When it returns nil, c may
// be counted for its open response.
func (s *Server) admit(c *reactor.Conn, r *reactor.Request, set *settings, w *wish, jwt bool) error {
	over := c.Over()
	switch {
	case over != nil:
		return over
	case jwt && !set.jwt.Admits(s.log, w.Token, w.Name):
		return channel.ErrToken
	case s.monitor.MemoryShort() && !c.Served():
		// A connection that has been served before comes back from a poll, and stays.
		return channel.ErrMemory
	}
	return c.EnterOpen(r)
}

// inBand is the message that tells a subscriber of a refusal. It goes out with status
// 200, because clients take any other status for a server that is down.
func inBand(ch wire.Channel, err error) (e wire.Event, ok bool) {
	switch err {
	case channel.ErrToken:
		return wire.Event{Type: wire.TypeToken, Channel: ch, Content: "Token error"}, true
	case channel.ErrTooManyChannels:
		return wire.Event{Type: wire.TypeTooMany, Channel: ch, Content: "Too many channels"}, true
	case channel.ErrTooManySubscribers, channel.ErrMemory, reactor.ErrPerIP, reactor.ErrConnections:
		return wire.Event{Type: wire.TypeTooMany, Channel: ch, Content: "Too many subscribers"}, true
	}
	return wire.Event{}, false
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
