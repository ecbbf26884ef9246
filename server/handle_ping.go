package server

// handlePing tells a front client how long a connection may be silent. It has the
// default callback of /poll.
func (l *loop) handlePing(c *conn, r *request) {
	b := append(l.body[:0], `{"type":"ping","sub_timeout":`...)
	b = appendInt(b, int64(l.srv.settings.Load().config.Front.PollingTimeout))
	l.body = append(b, "}\n"...)
	if !r.params.has[paramCallback] {
		r.params.put(paramCallback, defaultCallback)
	}
	l.json(c, r, l.body)
}
