package server

import (
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
	joined, cname, err := s.join(c, r, wire.TransportPoll)
	out, sc := c.Out(), c.Scratch()
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			c.RefuseInBand(r, err)
			sc.Body = style.AppendEvent(sc.Body[:0], &e)
			out.B = style.AppendAnswer(out.B, sc.Body)
		}
		return
	}
	switch {
	case joined.More:
		c.LongAnswer(&joined, &style)
		return
	case joined.Subscribed:
		c.Remember(&style)
		return
	case joined.TellNext:
		e := wire.NextSeqEvent(cname, joined.Next)
		sc.Body = style.AppendEvent(sc.Body[:0], &e)
	default:
		sc.Body = style.AppendMessages(sc.Body[:0], cname, joined.Replay, true)
		c.Replayed(joined.Replay)
	}
	out.B = style.AppendAnswer(out.B, sc.Body)
}

func (s *Server) handleStream(c *reactor.Conn, r *reactor.Request) {
	s.open(c, r, wire.TransportStream)
}
func (s *Server) handleSSE(c *reactor.Conn, r *reactor.Request) { s.open(c, r, wire.TransportSSE) }
func (s *Server) handleIframe(c *reactor.Conn, r *reactor.Request) {
	s.open(c, r, wire.TransportIframe)
}

// open subscribes with an endless response. Head, preamble and backlog leave in one
// write.
func (s *Server) open(c *reactor.Conn, r *reactor.Request, t wire.Transport) {
	joined, cname, err := s.join(c, r, t)
	f := wire.OpenForm(t, r.Minor == 0)
	out, sc := c.Out(), c.Scratch()
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			c.RefuseInBand(r, err)
			out.B = c.AppendOpenHead(out.B, r, t)
			out.B = f.AppendOpen(out.B, &e, &sc.Frame)
			if f.Chunked() {
				out.B = append(out.B, wire.LastChunk...)
			} else {
				c.EndAfter()
			}
		}
		return
	}
	out.B = c.AppendOpenHead(out.B, r, t)
	if joined.TellNext {
		e := wire.NextSeqEvent(cname, joined.Next)
		out.B = f.AppendOpen(out.B, &e, &sc.Frame)
	}
	c.Backlog(&joined, cname)
}

// errAnswered says that the request has been answered, or that it will be served again.
var errAnswered = errors.New("answered")

// join reads the parameters and joins the channel; when that subscribes, c is in
// its list. cname is encoded. Errors: errAnswered, or one for inBand.
func (s *Server) join(c *reactor.Conn, r *reactor.Request, t wire.Transport) (joined channel.Joined, cname []byte, err error) {
	name, ok := c.Cname(r)
	if !ok {
		return joined, nil, errAnswered
	}
	seq, ok := c.Int(r, reactor.ParamSeq)
	if !ok {
		return joined, nil, errAnswered
	}
	noop, ok := c.Int(r, reactor.ParamNoop)
	if !ok {
		return joined, nil, errAnswered
	}
	if t == wire.TransportSSE {
		if last, ok := lastEventID(r); ok {
			seq = max(last, last+1) // no overflow at the largest number
		}
	}
	sc := c.Scratch()
	sc.Name = wire.AppendJSON(sc.Name[:0], name)
	set := s.settings.Load()
	token := subscriberToken(r)
	if err := s.admit(c, r, set, name, token); err != nil {
		return joined, sc.Name, err
	}
	j := channel.Join{
		Name: name, Since: seq,
		Auth: set.auth, Token: token,
		Known: !set.config.Front.CreateOnSubscribe,
	}
	joined, err = c.Join(&j, t, noop)
	switch err {
	case reactor.ErrParked:
		err = errAnswered
	case channel.ErrUnavailable, channel.ErrOverloaded, channel.ErrStopped:
		refuseUnavailable(c, r, t, err)
		err = errAnswered
	}
	return joined, sc.Name, err
}

// subscriberToken is the token parameter or, without one, what is in Authorization: clients
// that can set a field keep the token out of the URL, which proxies log.
func subscriberToken(r *reactor.Request) []byte {
	if token := r.Params.Get(reactor.ParamToken); len(token) > 0 {
		return token
	}
	return access.Bearer(&r.Request)
}

// lastEventID is the number of the last message that an SSE client has had. A browser
// sends a field when it connects again; polyfills that cannot set one put it into the
// query. What is not a number is ignored.
func lastEventID(r *reactor.Request) (last int64, ok bool) {
	if last, ok = httpparse.ParseInt(r.Get("last-event-id")); !ok {
		last, ok = httpparse.ParseInt(r.Params.Get(reactor.ParamLastEventID))
	}
	return last, ok
}

// admit checks what does not depend on the channel's state. When it returns nil, c may
// be counted for its open response.
func (s *Server) admit(c *reactor.Conn, r *reactor.Request, set *settings, name, token []byte) error {
	over := c.Over()
	switch {
	case over != nil:
		return over
	case set.jwt != nil && !set.jwt.Admits(s.log, token, name):
		return channel.ErrToken
	case s.monitor.MemoryShort() && !c.Served():
		// A connection that has been served before comes back from a poll, and stays.
		return channel.ErrMemory
	}
	return c.EnterOpen(r)
}

// inBand is the message that tells a subscriber of a refusal. It goes out with status
// 200, because clients take any other status for a server that is down.
func inBand(cname []byte, err error) (e wire.Event, ok bool) {
	switch err {
	case channel.ErrToken:
		return wire.Event{Type: wire.TypeToken, Cname: cname, Content: "Token error"}, true
	case channel.ErrTooManyChannels:
		return wire.Event{Type: wire.TypeTooMany, Cname: cname, Content: "Too many channels"}, true
	case channel.ErrTooManySubscribers, channel.ErrMemory, reactor.ErrPerIP, reactor.ErrConnections:
		return wire.Event{Type: wire.TypeTooMany, Cname: cname, Content: "Too many subscribers"}, true
	}
	return wire.Event{}, false
}

// refuseUnavailable answers a subscriber whose channel cannot be fetched. An
// EventSource never comes back after a status, but does after a broken connection.
func refuseUnavailable(c *reactor.Conn, r *reactor.Request, t wire.Transport, err error) {
	if t == wire.TransportSSE {
		c.Drop(reactor.ReasonUnavailable)
		return
	}
	c.Refuse(r, 503, err.Error()+"; try again")
}
