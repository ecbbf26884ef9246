package server

import (
	"icomet/httpparse"
)

// handlePub takes content that is already the body of a JSON string.
func (l *loop) handlePub(c *conn, r *request) {
	content := r.params.get(paramContent)
	if !httpparse.ValidJSONString(content) {
		l.refuse(c, r, 400, "content is not the body of a JSON string: without the quotes, quotes and control characters in it escaped, valid UTF-8 (/push takes raw content)")
		return
	}
	l.publish(c, r, content)
}

// handlePush takes raw content and does the encoding.
func (l *loop) handlePush(c *conn, r *request) {
	l.body = appendJSONBody(l.body[:0], r.params.get(paramContent))
	l.publish(c, r, l.body)
}

func (l *loop) publish(c *conn, r *request, content []byte) {
	name, ok := l.cnameOf(c, r)
	if !ok || l.refusedDraining(c, r) {
		return
	}
	callback, ok := l.callback(c, r)
	if !ok {
		return
	}
	l.stats.publishes.Add(1)
	a := l.newAnswer(c, r, callPublish, callback, name)
	l.srv.engine.Publish(name, string(content), a)
	l.settle(c, a)
}

func (l *loop) handleBroadcast(c *conn, r *request) {
	if l.refusedDraining(c, r) {
		return
	}
	l.stats.broadcasts.Add(1)
	l.body = appendJSONBody(l.body[:0], r.params.get(paramContent))
	a := l.newAnswer(c, r, callBroadcast, nil, nil)
	l.srv.engine.Broadcast(string(l.body), a)
	l.settle(c, a)
}

// refusedDraining answers 503 to a publish while the server is leaving.
func (l *loop) refusedDraining(c *conn, r *request) bool {
	if !l.srv.draining.Load() {
		return false
	}
	l.refuse(c, r, 503, "the server is shutting down")
	return true
}
