package server

import (
	"icomet/server/params"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// handlePing tells a front client how long a connection may be silent. It has the
// default callback of /poll.
func (s *Server) handlePing(c *reactor.Conn, r *reactor.Request) {
	callback := wire.DefaultCallback
	if r.Params.Has[params.Callback] {
		cb, ok := c.Callback(r)
		if !ok {
			return
		}
		callback = cb
	}
	sc := c.Scratch()
	b := append(sc.Body[:0], `{"type":"ping","sub_timeout":`...)
	b = wire.AppendInt(b, int64(s.settings.Load().config.Front.PollingTimeout))
	sc.Body = append(b, "}\n"...)
	c.JSON(r, callback, sc.Body)
}
