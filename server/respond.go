package server

import (
	"bytes"

	"github.com/valyala/bytebufferpool"

	"icomet/httpparse"
)

// out is where the answers to the requests of one read are collected. An endpoint
// appends a whole answer, or the beginning of a response that stays open.
func (c *conn) out() *bytebufferpool.ByteBuffer { return c.loop.out }

// scratch is the loop's scratch space.
func (c *conn) scratch() *scratch { return &c.loop.scratch }

// counters are those of the connection's loop.
func (c *conn) counters() *counters { return &c.loop.stats }

// admin reports that the connection came in on the admin port.
func (c *conn) admin() bool { return c.has(flagAdmin) }

// served reports that the connection has been a subscriber's before.
func (c *conn) served() bool { return c.has(flagServed) }

// endAfter has the connection end with the answer that is being made.
func (c *conn) endAfter() { c.set(flagClose) }

// drop ends the connection without an answer.
func (c *conn) drop(reason closeReason) { c.loop.doom(c, reason) }

// refuse answers an error that leaves the connection usable.
func (c *conn) refuse(r *request, status int, text string) {
	h := head{status: status, conn: r.conn}
	switch status {
	case 503:
		h.retryIn = 1
	case 401:
		h.fields = "WWW-Authenticate: Bearer\r\n"
	}
	c.refuseWith(r, &h, text)
}

// refuseWith answers the error that h says.
func (c *conn) refuseWith(r *request, h *head, text string) {
	c.loop.stats.refused(h.status)
	c.text(r, h, text)
}

// text answers with one line of text, without its newline.
func (c *conn) text(r *request, h *head, text string) {
	c.setOrigin(r, h)
	l := c.loop
	mark := len(l.out.B)
	l.out.B = c.appendText(l.out.B, h, text)
	if r.Method == httpparse.HEAD {
		l.out.B = headOnly(l.out.B, mark)
	}
}

// json answers with the JSON text in body, or with CB(JSON); when callback, which has
// been checked, is not nil. body ends with a newline and is not the scratch frame.
func (c *conn) json(r *request, callback, body []byte) {
	h := head{status: 200, ctype: typeJSON, conn: r.conn}
	c.setOrigin(r, &h)
	l := c.loop
	l.out.B = appendJSONAnswer(l.out.B, &h, callback, body, &l.scratch.frame)
}

// cutToHead cuts everything but the head off the answer that begins at mark of out.
func (c *conn) cutToHead(mark int) { c.loop.out.B = headOnly(c.loop.out.B, mark) }

// headOnly cuts the answer that begins at mark behind its head.
func headOnly(b []byte, mark int) []byte {
	if i := bytes.Index(b[mark:], []byte("\r\n\r\n")); i >= 0 {
		b = b[:mark+i+4]
	}
	return b
}

// setOrigin sets the CORS fields of a front answer.
func (c *conn) setOrigin(r *request, h *head) {
	if !c.has(flagAdmin) {
		h.origin, h.vary = c.loop.reactor.settings.Load().Origins.allow(r.Get("origin"))
	}
}

// appendOpenHead appends the head of an open response, and an iframe's preamble.
func (c *conn) appendOpenHead(dst []byte, r *request, t transport) []byte {
	f := openForm(t, r.Minor == 0)
	h := head{status: 200, ctype: transportContentType[t], length: lengthChunked, conn: r.conn}
	if !f.chunked() {
		h.length, h.conn = lengthClose, connClose
	}
	c.setOrigin(r, &h)
	dst = h.append(dst)
	if t == transportIframe && r.Method != httpparse.HEAD {
		if f.chunked() {
			return appendChunk(dst, []byte(iframePreamble))
		}
		dst = append(dst, iframePreamble...)
	}
	return dst
}

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
