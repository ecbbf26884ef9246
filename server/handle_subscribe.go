package server

import (
	"errors"

	"icomet/channel"
	"icomet/httpparse"
)

func (s *Server) handlePoll(c *conn, r *request) { s.poll(c, r, defaultCallback) }
func (s *Server) handleSub(c *conn, r *request)  { s.poll(c, r, nil) }

// poll subscribes until there is something to answer. The default callback counts
// when the client says nothing of it; an empty cb asks for bare JSON.
func (s *Server) poll(c *conn, r *request, callback []byte) {
	if r.params.has[paramCallback] {
		cb, ok := c.callback(r)
		if !ok {
			return
		}
		callback = cb
	}
	style := c.newPollStyle(r, callback)
	joined, cname, err := s.join(c, r, transportPoll)
	out, sc := c.out(), c.scratch()
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			c.counters().refusedInBand(err)
			sc.body = style.appendEvent(sc.body[:0], &e)
			out.B = style.appendAnswer(out.B, sc.body)
		}
		return
	}
	switch {
	case joined.Subscribed:
		c.remember(&style)
		return
	case joined.TellNext:
		e := nextSeqEvent(cname, joined.Next)
		sc.body = style.appendEvent(sc.body[:0], &e)
	default:
		sc.body = style.appendMessages(sc.body[:0], cname, joined.Replay, true)
		c.replayed(joined.Replay)
	}
	out.B = style.appendAnswer(out.B, sc.body)
}

func (s *Server) handleStream(c *conn, r *request) { s.open(c, r, transportStream) }
func (s *Server) handleSSE(c *conn, r *request)    { s.open(c, r, transportSSE) }
func (s *Server) handleIframe(c *conn, r *request) { s.open(c, r, transportIframe) }

// open subscribes with an endless response. Head, preamble and what is there
// already leave in one write.
func (s *Server) open(c *conn, r *request, t transport) {
	joined, cname, err := s.join(c, r, t)
	f := openForm(t, r.Minor == 0)
	out, sc := c.out(), c.scratch()
	if err != nil {
		if e, ok := inBand(cname, err); ok {
			c.counters().refusedInBand(err)
			out.B = c.appendOpenHead(out.B, r, t)
			out.B = f.appendOpen(out.B, &e, &sc.frame)
			if f.chunked() {
				out.B = append(out.B, lastChunk...)
			} else {
				c.endAfter()
			}
		}
		return
	}
	out.B = c.appendOpenHead(out.B, r, t)
	if joined.TellNext {
		e := nextSeqEvent(cname, joined.Next)
		out.B = f.appendOpen(out.B, &e, &sc.frame)
	}
	for i := range joined.Replay {
		out.B = f.appendMessage(out.B, cname, &joined.Replay[i], &sc.frame)
	}
	c.replayed(joined.Replay)
}

// errAnswered says that the call has been answered, or will be served again.
var errAnswered = errors.New("answered")

// join reads the parameters and joins the channel; when that subscribes, c is in
// its list. cname is encoded. Errors: errAnswered, or one for inBand.
func (s *Server) join(c *conn, r *request, t transport) (joined channel.Joined, cname []byte, err error) {
	name, ok := c.cname(r)
	if !ok {
		return joined, nil, errAnswered
	}
	seq, ok := c.intParam(r, paramSeq)
	if !ok {
		return joined, nil, errAnswered
	}
	noop, ok := c.intParam(r, paramNoop)
	if !ok {
		return joined, nil, errAnswered
	}
	if t == transportSSE {
		if last, ok := httpparse.ParseInt(r.Get("last-event-id")); ok {
			seq = max(last, last+1) // the largest has none behind it
		}
	}
	sc := c.scratch()
	sc.name = appendJSONBody(sc.name[:0], name)
	set := s.settings.Load()
	if err := s.admit(c, r, set, name); err != nil {
		return joined, sc.name, err
	}
	j := channel.Join{
		Name: name, Since: seq,
		Auth: set.auth, Token: r.params.get(paramToken),
		Known: !set.config.Front.CreateOnSubscribe,
	}
	joined, err = c.join(&j, t, noop)
	switch err {
	case errParked:
		err = errAnswered
	case channel.ErrUnavailable, channel.ErrOverloaded, channel.ErrStopped:
		refuseUnavailable(c, r, t, err)
		err = errAnswered
	}
	return joined, sc.name, err
}

// admit judges what does not depend on the channel's state. A nil error may have
// counted c for its open response.
func (s *Server) admit(c *conn, r *request, set *settings, name []byte) error {
	switch {
	case c.overPerIP():
		return errPerIP
	case set.jwt != nil && !set.jwt.admits(s.log, r.params.get(paramToken), name):
		return channel.ErrToken
	case s.monitor.MemoryShort() && !c.served():
		// A connection that has been served before comes back from a poll, and stays.
		return channel.ErrMemory
	}
	return c.enterOpen(r)
}

// inBand is the message that tells a subscriber of a refusal: a status other than
// 200 means to clients that the server is down.
func inBand(cname []byte, err error) (e event, ok bool) {
	switch err {
	case channel.ErrToken:
		return event{typ: typeToken, cname: cname, content: "Token error"}, true
	case channel.ErrTooManyChannels:
		return event{typ: typeTooMany, cname: cname, content: "Too many channels"}, true
	case channel.ErrTooManySubscribers, channel.ErrMemory, errPerIP:
		return event{typ: typeTooMany, cname: cname, content: "Too many subscribers"}, true
	}
	return event{}, false
}

// refuseUnavailable answers a subscriber whose channel cannot be fetched. An
// EventSource never comes back after a status, but does after a broken connection.
func refuseUnavailable(c *conn, r *request, t transport, err error) {
	if t == transportSSE {
		c.drop(reasonUnavailable)
		return
	}
	c.refuse(r, 503, err.Error()+"; try again")
}
