package server

import (
	"log/slog"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// handlePub takes content that is already the body of a JSON string.
func (s *Server) handlePub(c *reactor.Conn, r *reactor.Request) {
	name, content, ok := nameAndContent(c, r)
	if !ok {
		return
	}
	if !httpparse.ValidJSONString(content) {
		c.Refuse(r, 400, "content is not the body of a JSON string: without the quotes, quotes and control characters in it escaped, valid UTF-8 (/push takes raw content)")
		return
	}
	sc := c.Scratch()
	sc.Body = wire.AppendReadable(sc.Body[:0], content)
	s.publish(c, r, name, sc.Body)
}

// handlePush takes raw content and does the encoding.
func (s *Server) handlePush(c *reactor.Conn, r *reactor.Request) {
	name, content, ok := nameAndContent(c, r)
	if !ok {
		return
	}
	sc := c.Scratch()
	sc.Body = wire.AppendJSON(sc.Body[:0], content)
	s.publish(c, r, name, sc.Body)
}

// nameAndContent are what a publish needs, or it answers 400.
func nameAndContent(c *reactor.Conn, r *reactor.Request) (name, content []byte, ok bool) {
	if name, ok = c.Cname(r); ok {
		content, ok = c.Content(r)
	}
	return name, content, ok
}

// publish publishes content, the body of a JSON string.
func (s *Server) publish(c *reactor.Conn, r *reactor.Request, name, content []byte) {
	if s.refusedDraining(c, r) {
		return
	}
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	position, ok := c.Flag(r, params.Position)
	if !ok {
		return
	}
	p := &c.Scratch().Publication
	if !readConditions(c, r, p) {
		return
	}
	p.Name, p.Content = name, string(content)
	c.Counters().Publishes.Add(1)
	c.Log(slog.LevelDebug, "admin call", r, name)
	format := s.formats.publish
	if position {
		format = s.formats.position
	}
	a := c.NewAnswer(r, format, callback, name)
	s.engine.Publish(p, a)
	p.Name, p.Content, p.ID = nil, "", ""
	c.Settle(a)
}

// readConditions makes p a publish with the conditions that r says, or answers 400.
func readConditions(c *reactor.Conn, r *reactor.Request, p *channel.Publication) (ok bool) {
	*p = channel.Publication{}
	if p.ID, ok = c.ID(r); !ok || !r.Params.Has[params.IfSeq] {
		return ok
	}
	if len(r.Params.Get(params.IfSeq)) == 0 {
		c.Refuse(r, 400, "if_seq is not an integer")
		return false
	}
	p.OnlyIf = true
	if p.IfSeq, ok = c.Int(r, params.IfSeq); ok {
		p.IfEpoch, ok = c.Epoch(r)
	}
	return ok
}

// handleEnd publishes the content, if any, and ends the channel.
func (s *Server) handleEnd(c *reactor.Conn, r *reactor.Request) {
	name, ok := c.Cname(r)
	if !ok || s.refusedDraining(c, r) {
		return
	}
	id, ok := c.ID(r)
	if !ok {
		return
	}
	c.Log(slog.LevelInfo, "admin call ends a channel", r, name)
	sc := c.Scratch()
	sc.Body = wire.AppendJSON(sc.Body[:0], r.Params.Get(params.Content))
	sc.Publication = channel.Publication{
		Name: name, Content: string(sc.Body), ID: id, End: true, NoContent: !r.Params.Has[params.Content],
	}
	a := c.NewAnswer(r, s.formats.next, nil, name)
	s.engine.Publish(&sc.Publication, a)
	sc.Publication = channel.Publication{}
	c.Settle(a)
}

func (s *Server) handleBroadcast(c *reactor.Conn, r *reactor.Request) {
	content, ok := c.Content(r)
	if !ok || s.refusedDraining(c, r) {
		return
	}
	if r.Params.Has[params.Position] || r.Params.Has[params.IfSeq] {
		c.Refuse(r, 400, "a broadcast has no position: position and if_seq are for one channel")
		return
	}
	id, ok := c.ID(r)
	if !ok {
		return
	}
	c.Counters().Broadcasts.Add(1)
	c.Log(slog.LevelInfo, "admin call broadcasts", r, nil)
	sc := c.Scratch()
	sc.Body = wire.AppendJSON(sc.Body[:0], content)
	a := c.NewAnswer(r, s.formats.broadcast, nil, nil)
	s.engine.Broadcast(string(sc.Body), id, a)
	c.Settle(a)
}

// refusedDraining answers 503 to a publish while the server is leaving.
func (s *Server) refusedDraining(c *reactor.Conn, r *reactor.Request) bool {
	if !s.reactor.Draining() {
		return false
	}
	c.Refuse(r, 503, "the server is shutting down")
	return true
}
