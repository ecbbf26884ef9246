package reactor

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/valyala/bytebufferpool"

	"icomet/httpparse"
	"icomet/server/params"
	"icomet/server/wire"
)

// Out is where the answers to the requests of one read are collected. An endpoint
// appends a whole answer, or the beginning of a response that stays open.
func (c *Conn) Out() *bytebufferpool.ByteBuffer { return c.loop.out }

// Scratch is the loop's scratch space.
func (c *Conn) Scratch() *Scratch { return &c.loop.scratch }

// Counters are those of the connection's loop.
func (c *Conn) Counters() *Counters { return &c.loop.stats }

// Admin reports that the connection came in on the admin port.
func (c *Conn) Admin() bool { return c.has(flagAdmin) }

// Served reports that the connection has been a subscriber's before.
func (c *Conn) Served() bool { return c.has(flagServed) }

// EndAfter has the connection end with the answer that is being made.
func (c *Conn) EndAfter() { c.set(flagClose) }

// Drop ends the connection without an answer.
func (c *Conn) Drop(reason CloseReason) { c.loop.doom(c, reason) }

// Refuse answers an error that leaves the connection usable.
func (c *Conn) Refuse(r *Request, status int, text string) {
	h := wire.Head{Status: status, Connection: r.Connection}
	switch status {
	case 503:
		h.RetryIn = 1
	case 401:
		h.Fields = "WWW-Authenticate: Bearer\r\n"
	}
	c.RefuseWith(r, &h, text)
}

// RefuseWith answers the error that h says.
func (c *Conn) RefuseWith(r *Request, h *wire.Head, text string) {
	c.loop.stats.refused(h.Status)
	c.logRefusal(r, h.Status, text)
	c.Text(r, h, text)
}

// NoContent answers 204: there is nothing, and there will be nothing.
func (c *Conn) NoContent(r *Request) {
	h := wire.Head{Status: 204, Length: wire.LengthNone, Connection: r.Connection}
	c.SetCommon(r, &h)
	c.loop.out.B = h.Append(c.loop.out.B)
}

// Text answers with one line of text, without its newline.
func (c *Conn) Text(r *Request, h *wire.Head, text string) {
	c.SetCommon(r, h)
	l := c.loop
	mark := len(l.out.B)
	l.out.B = c.appendText(l.out.B, h, text)
	if r.Method == httpparse.HEAD {
		l.out.B = headOnly(l.out.B, mark)
	}
}

// JSON answers with the JSON text in body, or with CB(JSON); when callback, which has
// been checked, is not nil. body ends with a newline and is not the scratch frame.
func (c *Conn) JSON(r *Request, callback, body []byte) {
	h := wire.Head{Status: 200, Ctype: wire.ContentJSON, Connection: r.Connection}
	c.SetCommon(r, &h)
	l := c.loop
	l.out.B = wire.AppendJSONAnswer(l.out.B, &h, callback, body, &l.scratch.Frame)
}

// CutToHead cuts everything but the head off the answer that begins at mark of out.
func (c *Conn) CutToHead(mark int) { c.loop.out.B = headOnly(c.loop.out.B, mark) }

// headOnly cuts the answer that begins at mark behind its head.
func headOnly(b []byte, mark int) []byte {
	if i := bytes.Index(b[mark:], []byte("\r\n\r\n")); i >= 0 {
		b = b[:mark+i+4]
	}
	return b
}

// SetCommon sets what every answer to r says: the date, and the CORS fields. Those of the
// admin port are the guard's.
func (c *Conn) SetCommon(r *Request, h *wire.Head) {
	h.Date = c.loop.reactor.dateText()
	h.CORS = r.CORS
	if !c.has(flagAdmin) {
		h.CORS = c.cors(r.Get("origin"))
	}
}

// cors is what an answer of the front port says to a page of origin.
func (c *Conn) cors(origin []byte) wire.CORS {
	cors := c.loop.reactor.settings.Load().Origins.Allow(origin)
	cors.STS = c.StrictTransport()
	return cors
}

// StrictTransport is the value of Strict-Transport-Security in answers to c; empty: none.
func (c *Conn) StrictTransport() string {
	if !c.isTLS() || c.shaking() {
		return ""
	}
	set := c.loop.reactor.settings.Load()
	if c.has(flagAdmin) {
		return set.AdminStrictTransport
	}
	return set.FrontStrictTransport
}

// AppendOpenHead appends the head of an open response, and the transport's preamble.
func (c *Conn) AppendOpenHead(dst []byte, r *Request, t wire.Transport) []byte {
	f := wire.OpenForm(t, r.Minor == 0)
	h := wire.Head{Status: 200, Ctype: wire.TransportContentType[t], Length: wire.LengthChunked, Connection: r.Connection, Open: true}
	if !f.Chunked() {
		h.Length, h.Connection = wire.LengthClose, wire.ConnClose
	}
	c.SetCommon(r, &h)
	if t == wire.TransportIframe {
		// A page with Cross-Origin-Embedder-Policy takes no frame without it.
		h.Fields = "Cross-Origin-Embedder-Policy: require-corp\r\n"
	}
	dst = h.Append(dst)
	preamble := wire.Preambles[t]
	switch {
	case preamble == "" || r.Method == httpparse.HEAD:
		return dst
	case f.Chunked():
		return wire.AppendChunk(dst, preamble)
	}
	return append(dst, preamble...)
}

// pollStyle of a waiting poll, as its connection remembers it.
func (c *Conn) pollStyle() wire.PollStyle {
	s := wire.PollStyle{Callback: wire.DefaultCallback, Connection: c.openConn(), Date: c.loop.reactor.dateText()}
	if c.has(flagBare) {
		s.Callback = nil
	}
	s.CORS = c.cors(nil)
	if ex := c.ex; ex != nil {
		if ex.callback != nil {
			s.Callback = ex.callback
		}
		if ex.origin != "" {
			s.Origin = ex.origin
		}
	}
	return s
}

// openConn is what the answer of the open request says of the connection.
func (c *Conn) openConn() wire.ConnField {
	switch {
	case c.has(flagClose) || c.loop.reactor.draining.Load():
		return wire.ConnClose
	case c.has(flagHTTP10):
		return wire.ConnKeepAlive
	}
	return wire.ConnDefault
}

// Remember keeps what the style has beyond the default for a poll that waits.
func (c *Conn) Remember(s *wire.PollStyle) {
	c.put(flagBare, s.Callback == nil)
	if s.Callback != nil && string(s.Callback) != string(wire.DefaultCallback) {
		c.exchange().callback = append([]byte(nil), s.Callback...)
	}
	if plain := c.loop.reactor.settings.Load().Origins.Allow(nil); s.Origin != plain.Origin {
		c.exchange().origin = s.Origin
	}
}

// NewPollStyle is the style of the answer to r.
func (c *Conn) NewPollStyle(r *Request, callback []byte) wire.PollStyle {
	s := wire.PollStyle{Callback: callback, Connection: r.Connection, Date: c.loop.reactor.dateText()}
	s.CORS = c.cors(r.Get("origin"))
	return s
}

// Logs reports that lines of the level are written. Whoever would allocate for one asks.
func (c *Conn) Logs(level slog.Level) bool {
	return c.loop.reactor.log.Enabled(context.Background(), level)
}

// Log writes a line about r: which path, who, and for which channel (nil: none). No query and
// no field of the request is in it, since they hold tokens and keys.
func (c *Conn) Log(level slog.Level, text string, r *Request, channel []byte, more ...slog.Attr) {
	if !c.Logs(level) {
		return
	}
	client, _ := c.client(r)
	attrs := append([]slog.Attr{
		slog.String("method", r.Method.String()), slog.String("path", string(r.Path)), slog.String("client", client.String()),
	}, more...)
	if len(channel) > 0 {
		attrs = append(attrs, slog.String("channel", string(channel)))
	}
	c.loop.reactor.log.LogAttrs(context.Background(), level, text, attrs...)
}

const textRefused = "request refused"

// logRefusal writes a line at level debug about an error answer to r.
func (c *Conn) logRefusal(r *Request, status int, why string) {
	if c.Logs(slog.LevelDebug) {
		c.Log(slog.LevelDebug, textRefused, r, r.Params.Get(params.Cname), slog.Int("status", status), slog.String("reason", why))
	}
}

// logError does the same when there is no request to go by any more: one that could not be
// read, or one that an engine has refused.
func (c *Conn) logError(channel []byte, status int, why string) {
	if c.Logs(slog.LevelDebug) {
		c.logLater(textRefused, string(channel), slog.Int("status", status), slog.String("reason", why))
	}
}

// logLater writes a line at level debug about a connection, not about a request.
func (c *Conn) logLater(text, channel string, more ...slog.Attr) {
	if c.Logs(slog.LevelDebug) {
		attrs := append([]slog.Attr{slog.String("client", c.peer().String()), slog.String("channel", channel)}, more...)
		c.loop.reactor.log.LogAttrs(context.Background(), slog.LevelDebug, text, attrs...)
	}
}

const textNoSubscriber = "subscriber refused"

// RefuseInBand counts a refusal that the subscriber r is told in its transport's own form.
func (c *Conn) RefuseInBand(r *Request, channel []byte, why error) {
	c.loop.stats.refusedInBand(why)
	if c.Logs(slog.LevelDebug) {
		c.Log(slog.LevelDebug, textNoSubscriber, r, channel, slog.String("reason", why.Error()))
	}
}

// refuseMember does the same for a channel of a response that is open already.
func (c *Conn) refuseMember(channel string, why error) {
	c.loop.stats.refusedInBand(why)
	c.logLater(textNoSubscriber, channel, slog.String("reason", why.Error()))
}

// RefuseCommand counts a command of a WebSocket that was answered with an error.
func (c *Conn) RefuseCommand(channel []byte, why string) {
	c.loop.stats.BadCommands.Add(1)
	if c.Logs(slog.LevelDebug) {
		c.logLater("command refused", string(channel), slog.String("reason", why))
	}
}
