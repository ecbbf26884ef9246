package server

import (
	"log/slog"

	"icomet/httpparse"
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

func (s *Server) publish(c *reactor.Conn, r *reactor.Request, name, content []byte) {
	if s.refusedDraining(c, r) {
		return
	}
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	c.Counters().Publishes.Add(1)
	c.Log(slog.LevelDebug, "admin call", r, name)
	a := c.NewAnswer(r, s.formats.publish, callback, name)
	s.engine.Publish(name, string(content), a)
	c.Settle(a)
}

func (s *Server) handleBroadcast(c *reactor.Conn, r *reactor.Request) {
	content, ok := c.Content(r)
	if !ok || s.refusedDraining(c, r) {
		return
	}
	c.Counters().Broadcasts.Add(1)
	c.Log(slog.LevelInfo, "admin call broadcasts", r, nil)
	sc := c.Scratch()
	sc.Body = wire.AppendJSON(sc.Body[:0], content)
	a := c.NewAnswer(r, s.formats.broadcast, nil, nil)
	s.engine.Broadcast(string(sc.Body), a)
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
