package server

import (
	"icomet/channel"
	"icomet/httpparse"
	"icomet/httpparse/wsframe"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// handleWebSocket accepts a WebSocket, with the channels that its URL names.
func (s *Server) handleWebSocket(c *reactor.Conn, r *reactor.Request) {
	h, err := wsframe.Upgrade(&r.Request)
	if err != nil {
		refuseHandshake(c, r, err)
		return
	}
	if !s.settings.Load().reactor.Origins.Serves(r.Get("origin"), r.Get("host")) {
		c.Refuse(r, 403, "pages of this origin may not connect (front.allow_origins)")
		return
	}
	t := c.Frames(&h)
	if r.Params.Channels() == 1 {
		s.openSocket(c, r, &h, t)
		return
	}
	list, noop, ok := s.wanted(c, r, wire.TransportWebSocket)
	if !ok {
		return
	}
	if len(list) == 0 {
		if err := s.admitConnection(c, r); err != nil {
			s.refuseSocket(c, r, &h, wire.Channel{}, t, err)
			return
		}
	}
	_, err = c.JoinAll(list, t, noop)
	switch {
	case err == reactor.ErrParked:
	case err != nil:
		refuseUnavailable(c, r, wire.TransportWebSocket, err)
	default:
		c.AcceptFrames(r, &h, t)
		c.BeginBundle(r, list)
	}
}

// refuseHandshake answers why a handshake is refused.
func refuseHandshake(c *reactor.Conn, r *reactor.Request, err error) {
	bad := err.(*httpparse.Error)
	h := wire.Head{Status: bad.Status, Connection: r.Connection}
	if bad == wsframe.ErrVersion {
		h.Fields = "Sec-WebSocket-Version: 13\r\n"
	}
	c.RefuseWith(r, &h, bad.Text)
}

// openSocket accepts a WebSocket with one channel.
func (s *Server) openSocket(c *reactor.Conn, r *reactor.Request, h *wsframe.Handshake, t wire.Transport) {
	w := wish{transport: t}
	if !w.readRaw(c, r) {
		return
	}
	joined, err := s.join(c, r, &w)
	f := wire.OpenForm(w.transport, false)
	out, sc := c.Out(), c.Scratch()
	if err != nil {
		e, ok := reactor.RefusalEvent(w.channel, err)
		switch {
		case err == channel.ErrNotFound:
			c.NoContent(r)
		case !ok:
		case w.transport.Raw():
			c.Refuse(r, rawStatus(err), e.Content)
		default:
			s.refuseSocket(c, r, h, w.channel, w.transport, err)
		}
		return
	}
	if w.hadAll(&joined) {
		c.NoContent(r)
		return
	}
	c.AcceptFrames(r, h, w.transport)
	if first, ok := reactor.FirstEvent(w.transport, &w.Join, &joined, w.channel); ok {
		out.B = f.AppendOpen(out.B, &first, &sc.Frame)
	}
	c.Backlog(&joined, f, w.channel)
}

// refuseSocket accepts a WebSocket to tell it in band that it is refused.
func (s *Server) refuseSocket(c *reactor.Conn, r *reactor.Request, h *wsframe.Handshake, ch wire.Channel, t wire.Transport, err error) {
	e, _ := reactor.RefusalEvent(ch, err)
	c.RefuseInBand(r, r.Params.Get(params.Cname), err)
	c.AcceptFrames(r, h, t)
	f, out := wire.OpenForm(t, false), c.Out()
	out.B = f.AppendEnd(f.AppendOpen(out.B, &e, &c.Scratch().Frame))
}

// command is what a WebSocket client sends.
type command struct {
	kind, cname, seq, epoch, token, last []byte
}

// Command is of Handler.
func (s *Server) Command(c *reactor.Conn, text []byte) {
	if c.Raw() {
		return // it gets contents alone, so it could not be answered
	}
	var m command
	fault := m.read(text)
	switch {
	case fault != "":
		tellFault(c, m.cname, fault)
	case string(m.kind) == "ping":
		c.TellText(`{"type":"pong"}`)
	case string(m.kind) != "subscribe" && string(m.kind) != "unsubscribe":
		tellFault(c, m.cname, "the type is not subscribe, unsubscribe or ping")
	case reactor.NameFault(m.cname) != "":
		tellFault(c, m.cname, reactor.NameFault(m.cname))
	case string(m.kind) == "subscribe":
		s.subscribeMore(c, &m)
	case !c.Subscribed(m.cname):
		tellFault(c, m.cname, "the channel is not subscribed")
	default:
		c.Unsubscribe(m.cname)
	}
}

// read reads the members of a flat JSON object.
func (m *command) read(text []byte) (fault string) {
	var in httpparse.JSONMembers
	in.Init(text, nil)
	in.Nulls = true // many clients write what they have not as null
	for in.Next() {
		switch string(in.Name) {
		case "type":
			m.kind = in.Value
		case "cname":
			m.cname = in.Value
		case "seq":
			m.seq = in.Value
		case "epoch":
			m.epoch = in.Value
		case "token":
			m.token = in.Value
		case "last":
			m.last = in.Value
		}
	}
	if in.Err() != nil {
		return "the command cannot be read: " + in.Err().Error()
	}
	return ""
}

func (s *Server) subscribeMore(c *reactor.Conn, m *command) {
	set := s.settings.Load()
	w := wish{transport: wire.TransportWebSocket}
	w.Name, w.Told, w.Position = m.cname, true, true
	fault := w.readCommand(m)
	switch {
	case fault != "":
	case c.Subscribed(m.cname):
		fault = "the channel is subscribed already"
	case c.Channels() >= set.config.Limits.ChannelsPerConnection:
		fault = "too many channels (limits.channels_per_connection)"
	}
	if fault != "" {
		tellFault(c, m.cname, fault)
		return
	}
	c.SubscribeMore(&w.Join, s.authorize(&w, m.token))
}

// readCommand reads where a subscription begins.
func (w *wish) readCommand(m *command) (fault string) {
	ok := true
	if len(m.seq) > 0 {
		if w.Since, ok = httpparse.ParseInt(m.seq); !ok {
			return "seq is not an integer"
		}
	}
	if len(m.epoch) > 0 {
		if w.Epoch, ok = wire.ParseEpoch(m.epoch); !ok {
			return "epoch is not 8 lower-case hex digits"
		}
	}
	if len(m.last) > 0 {
		if w.Last, ok = httpparse.ParseInt(m.last); !ok || w.Last < 0 {
			return "last is not a number of messages"
		}
		w.Since = 0
	}
	return ""
}

// tellFault tells a WebSocket client what is wrong with its command.
func tellFault(c *reactor.Conn, cname []byte, why string) {
	c.RefuseCommand(cname, why)
	e := wire.Event{
		Type: wire.TypeBad, Channel: wire.Channel{Name: wire.AppendJSON(nil, cname)},
		Content: string(wire.AppendJSON(nil, []byte(why))),
	}
	c.Tell(&e)
}
