package server

// handlePresence opens a stream of lines about channels: online, offline.
func (l *loop) handlePresence(c *conn, r *request) {
	there, err := c.fetched()
	if !there {
		there, err = l.parkWatch(c)
	}
	if err != nil {
		l.refuse(c, r, 503, err.Error()+"; try again")
		return
	}
	if !there {
		return
	}
	l.out.B = l.appendOpenHead(l.out.B, c, r, transportPresence)
	c.ch, c.transport = nil, transportPresence
	l.subscribe(c)
	l.srv.hub.WatchPresence(l.sink, true)
}

// appendPresenceName percent-encodes what would not fit in a line.
func appendPresenceName(dst []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		if b := name[i]; b < 0x20 || b == 0x7f {
			dst = append(dst, '%', hexUpper[b>>4], hexUpper[b&15])
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}

const hexUpper = "0123456789ABCDEF"
