package server

import (
	"bytes"
	"errors"
	"sync/atomic"

	"icomet/channel"
	"icomet/httpparse"
)

// call is which answer an engine's result becomes.
type call uint8

const (
	callPublish call = iota
	callBroadcast
	callSign
	callClear
	callClose
	callInfo
	callTotals
	callCheck
)

// The states of an answer. Whoever comes second, the loop that parks it or the
// engine that finishes it, sees what the other did.
const (
	answerCalling  = iota // the engine call has not returned
	answerFinished        // the result came inside the call
	answerParked          // the result will come by post
)

// answer is the place where an engine's result arrives. It belongs to its
// connection's loop, save Done. Those answered inside the call are reused.
type answer struct {
	state atomic.Int32
	res   channel.Result

	conn     *conn
	call     call
	connLine connField
	headOnly bool   // HEAD
	callback []byte // aliases the request until it is parked
	cname    []byte // likewise
	expires  int64  // sign: seconds
	ready    bool   // res, or text, is there
	text     []byte // the answer itself, of a call that did not need the engine
	cancel   func() // ends the work on it; nil: it is not to be ended
}

// Done takes the engine's result. Concurrency-safe.
func (a *answer) Done(res channel.Result) {
	a.res = res
	if !a.state.CompareAndSwap(answerCalling, answerFinished) {
		a.conn.loop.postAnswer(a)
	}
}

func (l *loop) newAnswer(c *conn, r *request, kind call, callback, cname []byte) *answer {
	var a *answer
	if n := len(l.answers); n > 0 {
		a, l.answers = l.answers[n-1], l.answers[:n-1]
		a.state.Store(answerCalling)
	} else {
		a = new(answer)
	}
	a.headOnly = r.Method == httpparse.HEAD
	a.conn, a.call, a.connLine, a.callback, a.cname = c, kind, r.conn, callback, cname
	return a
}

// settle answers at once when the result came inside the call (memory), else it
// gives the answer its place behind those that are not there yet.
func (l *loop) settle(c *conn, a *answer) {
	if a.state.Load() == answerFinished {
		l.out.B = l.appendResult(l.out.B, a)
		a.res, a.conn, a.callback, a.cname = channel.Result{}, nil, nil, nil
		l.answers = append(l.answers, a)
		return
	}
	a.callback = append([]byte(nil), a.callback...)
	a.cname = append([]byte(nil), a.cname...)
	ex := c.exchange()
	ex.pending = append(ex.pending, a)
	if !a.state.CompareAndSwap(answerCalling, answerParked) {
		a.arrived()
	}
}

// lateAnswers takes in the results of one run, and only then sends: all answers to one
// connection share a write.
func (l *loop) lateAnswers(late []*answer) {
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

// arrived sends what can now be answered in order. It runs on the loop.
func (a *answer) arrived() {
	c := a.conn
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
		if c.reason == reasonPeer {
			c.reason = reasonAnswered
		}
		c.beginDrain(c.reason)
		return
	}
	c.readOn()
}

// readOn goes on with what was pipelined behind an answer that has gone out.
func (c *conn) readOn() {
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
func (l *loop) appendResult(dst []byte, a *answer) []byte {
	mark := len(dst)
	dst = l.appendWhole(dst, a)
	if a.headOnly {
		dst = dst[:mark+bytes.Index(dst[mark:], []byte("\r\n\r\n"))+4]
	}
	return dst
}

func (l *loop) appendWhole(dst []byte, a *answer) []byte {
	h := head{status: 200, ctype: typeText, conn: a.connLine}
	if a.res.Err != nil {
		return l.appendEngineError(dst, a, &h)
	}
	b := l.body[:0]
	switch a.call {
	case callPublish:
		b = append(b, `{"type":"ok"}`...)
		return l.appendJSONResult(dst, a, &h, b)
	case callSign:
		b = append(b, `{"type":"sign","cname":"`...)
		b = appendJSONBody(b, a.cname)
		b = append(b, `","seq":`...)
		b = appendInt(b, a.res.Seq)
		b = append(b, `,"token":"`...)
		b = append(b, a.res.Token...)
		b = append(b, `","expires":`...)
		b = appendInt(b, a.expires)
		b = append(b, `,"sub_timeout":`...)
		b = appendInt(b, int64(l.srv.settings.Load().config.Front.PollingTimeout))
		b = append(b, '}')
		return l.appendJSONResult(dst, a, &h, b)
	case callInfo, callTotals, callCheck:
		return l.appendJSONResult(dst, a, &h, appendInfo(b, a))
	case callBroadcast:
		b = append(b, "ok\n"...)
	default:
		b = append(b, "ok "...)
		b = append(appendInt(b, a.res.Seq), '\n')
	}
	l.body = b
	h.length = len(b)
	return append(h.append(dst), b...)
}

func (l *loop) appendJSONResult(dst []byte, a *answer, h *head, body []byte) []byte {
	l.body = append(body, '\n')
	h.ctype = typeJSON
	callback := a.callback
	if len(callback) == 0 {
		callback = nil
	}
	return appendJSONAnswer(dst, h, callback, l.body, &l.scratch)
}

// engineErrors maps what an engine refuses to a status and a sentence.
var engineErrors = []struct {
	err    error
	status int
	text   string
}{
	{channel.ErrTooManyChannels, 429, "too many channels (front.max_channels)"},
	{channel.ErrMemory, 503, "memory is short: no new channels for now (runtime.memory_limit)"},
	{channel.ErrOverloaded, 503, "overloaded: a delivery queue is full; try again"},
	{channel.ErrStopped, 503, "the server is shutting down"},
	{channel.ErrUnavailable, 503, "the store of the channels cannot be reached, whether this was done is not known; try again"},
}

func (l *loop) appendEngineError(dst []byte, a *answer, h *head) []byte {
	if errors.Is(a.res.Err, channel.ErrNotFound) {
		h.status = 404
		l.stats.refused(404)
		return a.conn.appendText(dst, h, "channel["+string(a.cname)+"] not connected")
	}
	h.status = 500
	text := a.res.Err.Error()
	for _, e := range engineErrors {
		if errors.Is(a.res.Err, e.err) {
			h.status, text = e.status, e.text
		}
	}
	if h.status == 503 {
		h.retryIn = 1
	}
	l.stats.refused(h.status)
	return a.conn.appendText(dst, h, text)
}
