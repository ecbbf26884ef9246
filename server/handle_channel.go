package server

import (
	"log/slog"
	"time"

	"icomet/server/params"
	"icomet/server/reactor"
)

// maxExpires bounds a sign's expires, in seconds: 30 days.
const maxExpires = 30 * 24 * 3600

func (s *Server) handleSign(c *reactor.Conn, r *reactor.Request) {
	name, ok := c.Cname(r)
	if !ok {
		return
	}
	expires, ok := c.Int(r, params.Expires)
	if !ok {
		return
	}
	if expires > maxExpires {
		c.Refuse(r, 400, "expires is over 30 days (2592000 seconds)")
		return
	}
	if expires <= 0 {
		expires = int64(s.settings.Load().config.Front.ChannelTimeout)
	}
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	c.Log(slog.LevelDebug, "admin call", r, name)
	a := c.NewAnswer(r, s.formats.sign, callback, name)
	a.Expires = expires
	s.engine.Sign(name, time.Duration(expires)*time.Second, a)
	c.Settle(a)
}

func (s *Server) handleClose(c *reactor.Conn, r *reactor.Request) {
	if name, ok := c.Cname(r); ok {
		c.Log(slog.LevelInfo, "admin call closes a channel", r, name)
		a := c.NewAnswer(r, s.formats.next, nil, name)
		s.engine.Close(name, a)
		c.Settle(a)
	}
}

func (s *Server) handleClear(c *reactor.Conn, r *reactor.Request) {
	if name, ok := c.Cname(r); ok {
		c.Log(slog.LevelDebug, "admin call", r, name)
		a := c.NewAnswer(r, s.formats.next, nil, name)
		s.engine.Clear(name, a)
		c.Settle(a)
	}
}

// handleInfo counts one channel's subscribers, or all channels and subscribers; with
// build=1 it also says what the server was built from.
func (s *Server) handleInfo(c *reactor.Conn, r *reactor.Request) {
	build, ok := c.Flag(r, params.Build)
	if !ok {
		return
	}
	if len(r.Params.Get(params.Cname)) == 0 && build {
		s.look(c, r, s.formats.build, nil)
	} else if len(r.Params.Get(params.Cname)) == 0 {
		s.look(c, r, s.formats.totals, nil)
	} else if name, ok := c.Cname(r); ok {
		s.look(c, r, s.formats.info, name)
	}
}

func (s *Server) handleCheck(c *reactor.Conn, r *reactor.Request) {
	if name, ok := c.Cname(r); ok {
		s.look(c, r, s.formats.check, name)
	}
}

func (s *Server) look(c *reactor.Conn, r *reactor.Request, f reactor.Format, name []byte) {
	callback, ok := c.Callback(r)
	if !ok {
		return
	}
	a := c.NewAnswer(r, f, callback, name)
	s.engine.Info(name, a)
	c.Settle(a)
}
