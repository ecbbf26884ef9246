package server

// pollStyle of a waiting poll, as its connection remembers it.
func (c *conn) pollStyle() pollStyle {
	s := pollStyle{callback: defaultCallback, conn: c.openConn()}
	if c.has(flagBare) {
		s.callback = nil
	}
	s.origin, s.vary = c.loop.reactor.settings.Load().Origins.allow(nil)
	if ex := c.ex; ex != nil {
		if ex.callback != nil {
			s.callback = ex.callback
		}
		if ex.origin != "" {
			s.origin = ex.origin
		}
	}
	return s
}

// openConn is what the answer of the open request says of the connection.
func (c *conn) openConn() connField {
	switch {
	case c.has(flagClose) || c.loop.reactor.draining.Load():
		return connClose
	case c.has(flagHTTP10):
		return connKeepAlive
	}
	return connDefault
}

// remember keeps what the style has beyond the default for a poll that waits.
func (c *conn) remember(s *pollStyle) {
	c.put(flagBare, s.callback == nil)
	if s.callback != nil && string(s.callback) != string(defaultCallback) {
		c.exchange().callback = append([]byte(nil), s.callback...)
	}
	if plain, _ := c.loop.reactor.settings.Load().Origins.allow(nil); s.origin != plain {
		c.exchange().origin = s.origin
	}
}

// newPollStyle is the style of the answer to r.
func (c *conn) newPollStyle(r *request, callback []byte) pollStyle {
	s := pollStyle{callback: callback, conn: r.conn}
	s.origin, s.vary = c.loop.reactor.settings.Load().Origins.allow(r.Get("origin"))
	return s
}
