package server

import (
	"icomet/httpparse"
)

// handlePub takes content that is already the body of a JSON string.
func (s *Server) handlePub(c *conn, r *request) {
	content := r.params.get(paramContent)
	if !httpparse.ValidJSONString(content) {
		c.refuse(r, 400, "content is not the body of a JSON string: without the quotes, quotes and control characters in it escaped, valid UTF-8 (/push takes raw content)")
		return
	}
	s.publish(c, r, content)
}

// handlePush takes raw content and does the encoding.
func (s *Server) handlePush(c *conn, r *request) {
	sc := c.scratch()
	sc.body = appendJSONBody(sc.body[:0], r.params.get(paramContent))
	s.publish(c, r, sc.body)
}

func (s *Server) publish(c *conn, r *request, content []byte) {
	name, ok := c.cname(r)
	if !ok || s.refusedDraining(c, r) {
		return
	}
	callback, ok := c.callback(r)
	if !ok {
		return
	}
	c.counters().publishes.Add(1)
	a := c.newAnswer(r, s.formats.publish, callback, name)
	s.engine.Publish(name, string(content), a)
	c.settle(a)
}

func (s *Server) handleBroadcast(c *conn, r *request) {
	if s.refusedDraining(c, r) {
		return
	}
	c.counters().broadcasts.Add(1)
	sc := c.scratch()
	sc.body = appendJSONBody(sc.body[:0], r.params.get(paramContent))
	a := c.newAnswer(r, s.formats.broadcast, nil, nil)
	s.engine.Broadcast(string(sc.body), a)
	c.settle(a)
}

// refusedDraining answers 503 to a publish while the server is leaving.
func (s *Server) refusedDraining(c *conn, r *request) bool {
	if !s.reactor.Draining() {
		return false
	}
	c.refuse(r, 503, "the server is shutting down")
	return true
}
