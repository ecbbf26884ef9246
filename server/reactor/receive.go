package reactor

import (
	"github.com/valyala/bytebufferpool"

	"icomet/httpparse"
	"icomet/server/wire"
)

const (
	// flushAt is how many bytes of answers are collected before they are sent, when one
	// read has brought many requests.
	flushAt = 64 << 10
	// A body of a call of the front port is a list of channels: frontBodyShare bytes for each
	// that a connection may have, and never less than minFrontBody. All clients together
	// could otherwise take a lot of memory.
	frontBodyShare = 512
	minFrontBody   = 64 << 10
	// maxPending is how many requests of one connection may wait for the engine. When that
	// many wait, nothing more is parsed.
	maxPending = 128
)

// exchange is what is unfinished on a connection: a part of a request, bytes pipelined
// behind an open response, answers that wait for the engine, and the callback and origin
// of a waiting poll when they are not the defaults. It is freed when all is done.
type exchange struct {
	in   *bytebufferpool.ByteBuffer // bytes not parsed yet
	seen int                        // leading bytes of in that hold no complete head

	head      *bytebufferpool.ByteBuffer // the head whose body is being received
	body      *bytebufferpool.ByteBuffer // what has come of the body; nil if it is discarded
	tooLarge  bool                       // the body is over Conn.frontBody
	chunked   bool
	remaining int64 // bytes of a Content-Length body still to come
	chunk     httpparse.ChunkDecoder

	pending  []*Answer // in the order of the requests
	fetchErr error     // the engine's error for a request that is served again
	// fetched are the engine's errors for one with several channels, by name.
	fetched  map[string]error
	frames   *frames // of a WebSocket in the middle of a message, or that has sent commands lately
	callback []byte  // poll: when it is not the default
	origin   string  // poll: Access-Control-Allow-Origin, when it is not the default
}

func (c *Conn) exchange() *exchange {
	if c.ex == nil {
		c.ex = new(exchange)
	}
	return c.ex
}

// tidyExchange frees the exchange when nothing is unfinished. A waiting poll needs what its
// answer looks like.
func (c *Conn) tidyExchange() {
	ex := c.ex
	if ex == nil || ex.in != nil || ex.head != nil || len(ex.pending) > 0 || ex.frames != nil {
		return
	}
	if c.state != stateSubscribed || ex.callback == nil && ex.origin == "" {
		c.ex = nil
	}
}

func (c *Conn) releaseExchange() {
	if ex := c.ex; ex != nil {
		putBuffer(ex.in)
		putBuffer(ex.head)
		putBuffer(ex.body)
		for _, a := range ex.pending {
			if a.cancel != nil {
				a.cancel()
			}
		}
		c.ex = nil
	}
}

// read takes all that has arrived out of gnet. Since nothing was left there before, Next
// lends gnet's read buffer without a copy.
func (c *Conn) read() {
	b, err := c.gc.Next(-1)
	if err != nil {
		return
	}
	c.loop.now = c.loop.reactor.clock()
	c.loop.stats.BytesIn.Add(uint64(len(b)))
	switch {
	case c.has(flagDoomed) || c.state == stateDraining:
	case c.has(flagProxyHeader):
		c.takeProxyHeader(b)
	case c.isTLS():
		c.secured().arrive(b)
	default:
		c.take(b)
	}
}

// take takes what the client has said.
func (c *Conn) take(b []byte) {
	switch {
	case c.state == stateSubscribed && c.transport.Frames():
		c.readFrames(b)
	case c.state == stateSubscribed || c.has(flagParked):
		c.keep(b)
	default:
		c.ingest(b)
	}
}

// ingest parses what was kept followed by b, and answers every complete request.
func (c *Conn) ingest(b []byte) {
	if ex := c.ex; ex != nil && ex.in != nil {
		_, _ = ex.in.Write(b)
		in := ex.in
		ex.in = nil
		c.parse(in.B)
		putBuffer(in)
	} else {
		c.parse(b)
	}
	c.flush()
	if c.state == stateReading || c.state == stateSubscribed {
		c.tidyExchange()
		c.loop.arm(c)
	}
}

// parse handles the requests in b and keeps the rest of it.
func (c *Conn) parse(b []byte) {
	l := c.loop
	for c.state == stateReading && (len(b) > 0 || c.bodyWaits()) && !c.has(flagDoomed|flagClose) {
		n, more := c.step(b)
		b = b[n:]
		if !more {
			break
		}
		if len(l.out.B) >= flushAt {
			c.flush()
		}
	}
	// A request that ends the connection is the last one: the bytes after it are dropped.
	switch {
	case len(b) == 0:
	case c.state == stateSubscribed && c.transport.Frames():
		c.flush() // the answer to the handshake comes first
		c.readFrames(b)
	case c.state == stateReading && !c.has(flagClose), c.state == stateSubscribed:
		c.keep(b)
	}
}

// bodyWaits reports a parked request with a complete body in the exchange, which is to
// be served again.
func (c *Conn) bodyWaits() bool {
	return c.has(flagFetched) && c.ex != nil && c.ex.head != nil
}

// keep stores bytes that cannot be parsed yet: a part of a head, or requests pipelined
// behind an open response or behind answers that wait for the engine.
func (c *Conn) keep(b []byte) {
	set := c.loop.reactor.settings.Load()
	limit := set.Parse.RequestLine + set.Parse.Header
	ex := c.exchange()
	if len(ex.pending) > 0 {
		limit += int(set.Parse.Body)
	}
	if c.has(flagParked) {
		limit *= 2 // the parked one is kept too
	}
	if ex.in == nil {
		ex.in = getBuffer()
	}
	if len(ex.in.B)+len(b) > limit {
		c.loop.doom(c, ReasonPipelined)
		return
	}
	_, _ = ex.in.Write(b)
}

// step handles the request, or the part of one, at the beginning of b. It has used n
// bytes; more reports that the rest can be parsed now.
func (c *Conn) step(b []byte) (n int, more bool) {
	if c.ex != nil && c.ex.head != nil {
		return c.stepBody(b)
	}
	l := c.loop
	set := l.reactor.settings.Load()
	seen := 0
	if c.ex != nil {
		seen, c.ex.seen = c.ex.seen, 0
	}
	req := &l.req
	if err := httpparse.Parse(&req.Request, b, seen, &set.Parse); err != nil {
		if err != httpparse.ErrIncomplete {
			c.failParse(err)
			return 0, false
		}
		if httpparse.Begun(b) {
			c.begin()
		}
		c.exchange().seen = len(b)
		return 0, false
	}
	req.reset(c)
	if c.refused(req) {
		return 0, false
	}
	if c.mustWait(req) {
		return 0, false
	}
	if !req.Chunked && int64(len(b)-req.HeadLen) >= req.ContentLength {
		n = req.HeadLen + int(req.ContentLength)
		req.body = b[req.HeadLen:n]
		if len(req.body) > minFrontBody && !c.has(flagAdmin) && len(req.body) > c.frontBody() {
			// What has come behind a TLS handshake may be more than one read.
			req.body, req.bodyTooLarge = nil, true
		}
		if more = c.dispatch(req); c.has(flagParked) {
			return 0, false // its bytes stay: it is served again
		}
		return n, more
	}
	if req.ExpectContinue && len(b) == req.HeadLen && l.reactor.handler.Refuses(c, req) {
		// The final answer instead of 100 Continue (RFC 9110 section 10.1.1). The client may
		// send the body all the same, so the connection ends.
		req.Connection = wire.ConnClose
		return req.HeadLen, c.dispatch(req)
	}
	c.begin()
	c.beginBody(b[:req.HeadLen], len(b) > req.HeadLen)
	return req.HeadLen, true
}

// begin starts the deadline of a request that has not come whole.
func (c *Conn) begin() {
	if !c.has(flagMidRequest) {
		c.set(flagMidRequest)
		c.restart()
	}
}

// beginBody keeps the head while the body comes in. Both are in our buffers, not in
// gnet's: gnet copies all that was left in it at every packet.
func (c *Conn) beginBody(head []byte, bodyBegun bool) {
	req := &c.loop.req
	ex := c.exchange()
	ex.head = getBuffer()
	_, _ = ex.head.Write(head)
	// On the front port only those who subscribe may send a body, and a short one. Any
	// other is counted and discarded: otherwise each connection could take a body's size of
	// memory.
	ex.tooLarge = false
	if req.Method == httpparse.POST && (c.has(flagAdmin) || c.loop.reactor.handler.Subscribes(c, req)) {
		if ex.tooLarge = !c.has(flagAdmin) && req.ContentLength > int64(c.frontBody()); !ex.tooLarge {
			ex.body = getBuffer()
		}
	}
	ex.remaining = req.ContentLength
	if ex.chunked = req.Chunked; ex.chunked {
		ex.chunk.Reset(&c.loop.reactor.settings.Load().Parse)
	}
	if req.ExpectContinue && !bodyBegun {
		c.loop.out.B = append(c.loop.out.B, wire.ContinueLine...)
	}
}

// stepBody takes bytes of the body, and serves the request when the body is complete.
func (c *Conn) stepBody(b []byte) (n int, more bool) {
	ex := c.ex
	if ex.chunked {
		for n < len(b) && !ex.chunk.Done() {
			data, used, err := ex.chunk.Next(b[n:])
			if err != nil {
				c.failParse(err)
				return 0, false
			}
			n += used
			ex.take(c, data)
		}
		if !ex.chunk.Done() {
			return n, false
		}
	} else {
		n = int(min(ex.remaining, int64(len(b))))
		ex.take(c, b[:n])
		if ex.remaining -= int64(n); ex.remaining > 0 {
			return n, false
		}
	}
	// The head is parsed again rather than kept parsed: it is short, and only requests
	// whose body comes in several packets need it.
	req := &c.loop.req
	if err := httpparse.Parse(&req.Request, ex.head.B, 0, &c.loop.reactor.settings.Load().Parse); err != nil {
		c.failParse(err) // a reload has lowered a limit in between
		return 0, false
	}
	head, body := ex.head, ex.body
	ex.head, ex.body = nil, nil
	req.reset(c)
	if req.bodyTooLarge = ex.tooLarge; body != nil {
		req.body = body.B
	}
	if more = c.dispatch(req); c.has(flagParked) {
		ex.head, ex.body = head, body // it is served again
		return n, false
	}
	putBuffer(head)
	putBuffer(body)
	return n, more
}

// frontBody is the largest body, in bytes, of a call of the front port.
func (c *Conn) frontBody() int {
	return max(minFrontBody, frontBodyShare*c.loop.reactor.settings.Load().Channels)
}

func (ex *exchange) take(c *Conn, data []byte) {
	if ex.body == nil {
		return
	}
	if !c.has(flagAdmin) && len(ex.body.B)+len(data) > c.frontBody() {
		putBuffer(ex.body)
		ex.body, ex.tooLarge = nil, true
		return
	}
	_, _ = ex.body.Write(data)
}

// dispatch answers one complete request and reports whether the next may be parsed.
func (c *Conn) dispatch(req *Request) (more bool) {
	l := c.loop
	c.clear(flagMidRequest)
	c.put(flagHTTP10, req.Minor == 0)
	c.put(flagClose, req.Connection == wire.ConnClose)
	c.since = l.now
	if !c.has(flagFetched) {
		l.stats.Requests.Add(1)
	}
	waiting := c.ex != nil && len(c.ex.pending) > 0
	mark := len(l.out.B)
	l.reactor.handler.Serve(c, req)
	c.clear(flagFetched) // what is pipelined behind it has not been fetched
	if c.has(flagParked) {
		c.clear(flagClose)
		return false
	}
	if waiting && len(l.out.B) > mark {
		// It has to wait for the answers before it.
		c.ex.pending = append(c.ex.pending, &Answer{Conn: c, ready: true, text: append([]byte(nil), l.out.B[mark:]...)})
		l.out.B = l.out.B[:mark]
	}
	if c.state != stateReading {
		return false
	}
	if c.has(flagClose) && (c.ex == nil || len(c.ex.pending) == 0) {
		c.flush()
		reason := ReasonAnswered
		if c.refusal() == ReasonConnections {
			reason = ReasonConnections
		}
		c.beginDrain(reason)
	}
	return !c.has(flagClose)
}

// mustWait reports that req has to wait until the earlier requests are answered: its
// response stays open or begins with 100 Continue, so it could not be put in order.
func (c *Conn) mustWait(req *Request) bool {
	if c.ex == nil || len(c.ex.pending) == 0 {
		return false
	}
	return len(c.ex.pending) >= maxPending || req.ExpectContinue || c.loop.reactor.handler.Opens(c, req)
}
