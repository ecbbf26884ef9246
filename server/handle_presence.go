package server

import "icomet/server/reactor"

// handlePresence opens a stream of lines about channels: online, offline.
func (s *Server) handlePresence(c *reactor.Conn, r *reactor.Request) {
	if err := c.WatchPresence(r); err != nil && err != reactor.ErrParked {
		c.Refuse(r, 503, err.Error()+"; try again")
	}
}
