package server

import "time"

// maxExpires bounds a sign's expires, in seconds: 30 days.
const maxExpires = 30 * 24 * 3600

func (s *Server) handleSign(c *conn, r *request) {
	name, ok := c.cname(r)
	if !ok {
		return
	}
	expires, ok := c.intParam(r, paramExpires)
	if !ok {
		return
	}
	if expires > maxExpires {
		c.refuse(r, 400, "expires is over 30 days (2592000 seconds)")
		return
	}
	if expires <= 0 {
		expires = int64(s.settings.Load().config.Front.ChannelTimeout)
	}
	callback, ok := c.callback(r)
	if !ok {
		return
	}
	a := c.newAnswer(r, s.formats.sign, callback, name)
	a.expires = expires
	s.engine.Sign(name, time.Duration(expires)*time.Second, a)
	c.settle(a)
}

func (s *Server) handleClose(c *conn, r *request) {
	if name, ok := c.cname(r); ok {
		a := c.newAnswer(r, s.formats.next, nil, name)
		s.engine.Close(name, a)
		c.settle(a)
	}
}

func (s *Server) handleClear(c *conn, r *request) {
	if name, ok := c.cname(r); ok {
		a := c.newAnswer(r, s.formats.next, nil, name)
		s.engine.Clear(name, a)
		c.settle(a)
	}
}

// handleInfo counts one channel's subscribers, or all channels and subscribers.
func (s *Server) handleInfo(c *conn, r *request) {
	if len(r.params.get(paramCname)) == 0 {
		s.look(c, r, s.formats.totals, nil)
	} else if name, ok := c.cname(r); ok {
		s.look(c, r, s.formats.info, name)
	}
}

func (s *Server) handleCheck(c *conn, r *request) {
	if name, ok := c.cname(r); ok {
		s.look(c, r, s.formats.check, name)
	}
}

func (s *Server) look(c *conn, r *request, f format, name []byte) {
	callback, ok := c.callback(r)
	if !ok {
		return
	}
	a := c.newAnswer(r, f, callback, name)
	s.engine.Info(name, a)
	c.settle(a)
}
