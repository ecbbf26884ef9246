package server

import (
	"bytes"
	"log/slog"
	"sync/atomic"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/reactor"
	"icomet/server/wire"
)

// maxBatch is how many lines a batch may have.
const maxBatch = 10_000

// batch collects the results of a /batch, one for each line. The engine gives them in any
// order and from any goroutine.
type batch struct {
	lines  []batchLine
	left   atomic.Int32 // results to come, and one while lines are being read
	answer *reactor.Answer
}

// batchLine is the Done of one line.
type batchLine struct {
	of     *batch
	res    channel.Result
	status int // of a line that is no publish; 0: it is one
	why    string
}

// Done takes the result of a line.
func (l *batchLine) Done(res channel.Result) {
	l.res = res
	l.of.done()
}

func (b *batch) done() {
	if b.left.Add(-1) == 0 {
		b.answer.Done(channel.Result{})
	}
}

// handleBatch publishes a message for each line of the body, in their order.
func (s *Server) handleBatch(c *reactor.Conn, r *reactor.Request) {
	body, err := r.ParseLines()
	if err != nil {
		refuseUnread(c, r, "body", err)
		return
	}
	if s.refusedDraining(c, r) {
		return
	}
	n := bytes.Count(body, []byte("\n"))
	if len(body) > 0 && body[len(body)-1] != '\n' {
		n++
	}
	if n > maxBatch {
		c.Refuse(r, 413, "a batch has at most 10000 lines")
		return
	}
	c.Counters().Publishes.Add(uint64(n))
	c.Log(slog.LevelDebug, "admin call", r, nil, slog.Int("lines", n))
	b := &batch{lines: make([]batchLine, n)}
	b.left.Store(int32(n) + 1)
	b.answer = c.NewAnswer(r, b.format, nil, nil)
	for i := range b.lines {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		s.publishLine(c, b, i, line)
		body = rest
	}
	b.done()
	c.Settle(b.answer)
}

func (s *Server) publishLine(c *reactor.Conn, b *batch, i int, line []byte) {
	sc := c.Scratch()
	l := &b.lines[i]
	l.of = b
	p := &sc.Publication
	if l.why = readLine(sc, p, line); l.why != "" {
		l.status = 400
		b.done()
		return
	}
	s.engine.Publish(p, l)
	*p = channel.Publication{}
}

// readLine makes p the publish of a line, or says what is wrong with it.
func readLine(sc *reactor.Scratch, p *channel.Publication, line []byte) (fault string) {
	*p = channel.Publication{}
	var m httpparse.JSONMembers
	m.Init(line, nil)
	var content, id []byte
	var hasContent, hasID bool
	for m.Next() {
		switch string(m.Name) {
		case "cname":
			if p.Name == nil {
				p.Name = m.Value
			}
		case "content":
			if !hasContent {
				content, hasContent = m.Value, true
			}
		case "id":
			if !hasID {
				id, hasID = m.Value, true
			}
		}
	}
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return "the line is empty"
	case m.Err() != nil:
		return "the line cannot be read: " + m.Err().Error()
	case !hasContent:
		return "content is missing: what is to be published is needed"
	}
	if fault = reactor.NameFault(p.Name); fault == "" && hasID {
		fault = reactor.IDFault(id)
	}
	sc.Body = wire.AppendJSON(sc.Body[:0], content)
	p.Content, p.ID = string(sc.Body), string(id)
	return fault
}

// format answers with a line for each line, in their order.
func (b *batch) format(dst []byte, a *reactor.Answer) []byte {
	sc := a.Conn.Scratch()
	body := sc.Body[:0]
	for i := range b.lines {
		body = b.lines[i].append(body)
	}
	sc.Body = body
	return a.AppendBody(dst, wire.ContentLines, body)
}

func (l *batchLine) append(dst []byte) []byte {
	status, why := l.status, l.why
	switch {
	case status != 0:
	case l.res.Err == nil:
		dst = append(dst, `{"type":"ok","seq":`...)
		dst = wire.AppendInt(dst, l.res.Seq)
		if l.res.Duplicate {
			dst = append(dst, `,"duplicate":true`...)
		}
		return append(dst, "}\n"...)
	default:
		if why = conflictText(l.res.Err); why != "" {
			status = 409
		} else {
			status, why = engineError(l.res.Err)
		}
	}
	dst = append(dst, `{"type":"error","status":`...)
	dst = wire.AppendInt(dst, int64(status))
	dst = append(dst, `,"content":"`...)
	dst = wire.AppendJSON(dst, []byte(why))
	return append(dst, "\"}\n"...)
}
