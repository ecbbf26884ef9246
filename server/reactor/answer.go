package reactor

import (
	"sync/atomic"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/wire"
)

// The states of an answer. The loop that parks it and the engine that finishes it both
// change the state atomically: the second one sees what the first has done.
const (
	answerCalling  = iota // the engine call has not returned
	answerFinished        // the result came inside the call
	answerParked          // the result will come by post
)

// Format appends the answer to a call whose result a has. It runs on the loop of
// a's connection.
type Format func(dst []byte, a *Answer) []byte

// Answer is the place where an engine's result arrives. It belongs to the event loop of
// its connection, except for Done. Answers whose result came inside the call are reused.
type Answer struct {
	state atomic.Int32
	Res   channel.Result

	Conn     *Conn
	format   Format
	connLine wire.ConnField
	cors     wire.CORS
	headOnly bool   // HEAD
	callback []byte // the checked cb parameter; aliases the request until it is parked
	Cname    []byte // likewise
	Expires  int64  // of /sign, in seconds
	ready    bool   // res, or text, is there
	text     []byte // the answer itself, when it needed no engine
	cancel   func() // ends the work on it when the connection goes; may be nil
}

// Done takes the engine's result. It is called once. Concurrency-safe.
func (a *Answer) Done(res channel.Result) {
	a.Res = res
	if !a.state.CompareAndSwap(answerCalling, answerFinished) {
		a.Conn.loop.postAnswer(a)
	}
}

// NewAnswer takes the place of the answer to r, for an engine to call Done of. settle
// has to follow.
func (c *Conn) NewAnswer(r *Request, f Format, callback, cname []byte) *Answer {
	l := c.loop
	var a *Answer
	if n := len(l.answers); n > 0 {
		a, l.answers = l.answers[n-1], l.answers[:n-1]
		a.state.Store(answerCalling)
	} else {
		a = new(Answer)
	}
	a.headOnly = r.Method == httpparse.HEAD
	a.Conn, a.format, a.connLine, a.cors, a.callback, a.Cname = c, f, r.Connection, r.CORS, callback, cname
	return a
}

// Settle answers at once when the result came inside the call (memory), else it
// gives the answer its place behind those that are not there yet.
func (c *Conn) Settle(a *Answer) {
	l := c.loop
	if a.state.Load() == answerFinished {
		l.out.B = l.appendResult(l.out.B, a)
		a.Res, a.Conn, a.callback, a.Cname = channel.Result{}, nil, nil, nil
		l.answers = append(l.answers, a)
		return
	}
	a.callback = append([]byte(nil), a.callback...)
	a.Cname = append([]byte(nil), a.Cname...)
	ex := c.exchange()
	ex.pending = append(ex.pending, a)
	if !a.state.CompareAndSwap(answerCalling, answerParked) {
		a.arrived()
	}
}

// lateAnswers takes all results of one run before it sends, so that the answers to one
// connection share a write.
func (l *loop) lateAnswers(late []*Answer) {
	for _, a := range late {
		a.ready = true
	}
	for _, a := range late {
		a.arrived()
	}
	clear(late)
	if cap(late) <= maxSpareLate {
		l.spareLate = late[:0]
	}
}

// arrived sends the answers whose turn has come.
func (a *Answer) arrived() {
	c := a.Conn
	a.ready = true
	if c.state != stateReading || c.ex == nil {
		return
	}
	ex, l := c.ex, c.loop
	for len(ex.pending) > 0 && ex.pending[0].ready {
		if first := ex.pending[0]; first.text != nil {
			l.out.B = append(l.out.B, first.text...)
		} else {
			l.out.B = l.appendResult(l.out.B, first)
		}
		ex.pending = ex.pending[1:]
	}
	if !l.inRun {
		return // inside a read, which flushes
	}
	c.flush()
	if c.state != stateReading || len(ex.pending) > 0 {
		return
	}
	c.since = l.now
	if c.has(flagClose) {
		if c.reason == ReasonPeer {
			c.reason = ReasonAnswered
		}
		c.beginDrain(c.reason)
		return
	}
	c.readOn()
}

// readOn goes on with bytes that were pipelined behind an answer that has gone out.
func (c *Conn) readOn() {
	l := c.loop
	if c.ex != nil && c.ex.in != nil && !c.has(flagReady) {
		c.set(flagReady)
		l.ready = append(l.ready, c)
		if !l.inRun {
			l.rearm()
		}
	}
	c.tidyExchange()
	l.arm(c)
}

// appendResult appends the answer to a finished engine call.
func (l *loop) appendResult(dst []byte, a *Answer) []byte {
	mark := len(dst)
	dst = a.format(dst, a)
	if a.headOnly {
		dst = headOnly(dst, mark)
	}
	return dst
}

// AppendJSON appends a's answer with a JSON text, which ends with a newline, in its
// callback if there is one.
func (a *Answer) AppendJSON(dst, body []byte) []byte { return a.appendJSON(dst, 200, body) }

// AppendConflict is AppendJSON for a call that was refused because of the channel's state.
func (a *Answer) AppendConflict(dst, body []byte, why string) []byte {
	a.Conn.loop.stats.refused(409)
	a.Conn.logError(a.Cname, 409, why)
	return a.appendJSON(dst, 409, body)
}

func (a *Answer) appendJSON(dst []byte, status int, body []byte) []byte {
	h := wire.Head{Status: status, Date: a.Conn.loop.reactor.dateText(), Ctype: wire.ContentJSON, CORS: a.cors, Connection: a.connLine}
	callback := a.callback
	if len(callback) == 0 {
		callback = nil
	}
	return wire.AppendJSONAnswer(dst, &h, callback, body, &a.Conn.loop.scratch.Frame)
}

// AppendText appends a's answer with a text, which ends with a newline.
func (a *Answer) AppendText(dst, body []byte) []byte {
	return a.AppendBody(dst, wire.ContentText, body)
}

// AppendBody appends a's answer with a body of that Content-Type.
func (a *Answer) AppendBody(dst []byte, ctype string, body []byte) []byte {
	h := wire.Head{Status: 200, Date: a.Conn.loop.reactor.dateText(), Ctype: ctype, CORS: a.cors, Connection: a.connLine, Length: len(body)}
	return append(h.Append(dst), body...)
}

// AppendError appends an error.
func (a *Answer) AppendError(dst []byte, status int, text string) []byte {
	h := wire.Head{Status: status, CORS: a.cors, Connection: a.connLine}
	if status == 503 {
		h.RetryIn = 1
	}
	a.Conn.loop.stats.refused(status)
	a.Conn.logError(a.Cname, status, text)
	return a.Conn.appendText(dst, &h, text)
}
