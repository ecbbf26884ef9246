package server

// handlePing tells a front client how long a connection may be silent. It has the
// default callback of /poll.
func (s *Server) handlePing(c *conn, r *request) {
	callback := defaultCallback
	if r.params.has[paramCallback] {
		cb, ok := c.callback(r)
		if !ok {
			return
		}
		callback = cb
	}
	sc := c.scratch()
	b := append(sc.body[:0], `{"type":"ping","sub_timeout":`...)
	b = appendInt(b, int64(s.settings.Load().config.Front.PollingTimeout))
	sc.body = append(b, "}\n"...)
	c.json(r, callback, sc.body)
}
