package server

// handlePresence opens a stream of lines about channels: online, offline.
func (s *Server) handlePresence(c *conn, r *request) {
	if err := c.watchPresence(r); err != nil && err != errParked {
		c.refuse(r, 503, err.Error()+"; try again")
	}
}
