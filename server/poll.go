package server

import "icomet/channel"

// defaultCallback wraps the answers of /poll when the client names none.
var defaultCallback = []byte("icomet_cb")

// pollStyle is what makes one poll's answer look different from another's.
type pollStyle struct {
	callback []byte // nil: bare JSON
	origin   string
	vary     bool
	conn     connField
}

// appendEvent appends a body with one message.
func (s *pollStyle) appendEvent(dst []byte, e *event) []byte {
	dst = s.open(dst)
	return s.close(e.append(dst, s.callback != nil))
}

// appendMessages appends a body: an object for one live message, an array for a
// backlog, for several, and for a broadcast with its next_seq.
func (s *pollStyle) appendMessages(dst []byte, cname []byte, ms []channel.Message, backlog bool) []byte {
	scriptSafe := s.callback != nil
	array := backlog || len(ms) > 1 || ms[0].Type == channel.Broadcast
	if dst = s.open(dst); array {
		dst = append(dst, '[')
	}
	for i := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		e := messageEvent(cname, &ms[i])
		dst = e.append(dst, scriptSafe)
		if ms[i].Type == channel.Broadcast {
			e = nextSeqEvent(cname, ms[i].Seq+1)
			dst = e.append(append(dst, ','), scriptSafe)
		}
	}
	if array {
		dst = append(dst, ']')
	}
	return s.close(dst)
}

func (s *pollStyle) open(dst []byte) []byte {
	if s.callback == nil {
		return dst
	}
	return append(append(dst, s.callback...), '(')
}

func (s *pollStyle) close(dst []byte) []byte {
	if s.callback == nil {
		return append(dst, '\n')
	}
	return append(dst, ");\n"...)
}

// appendAnswer appends the whole answer around a body.
func (s *pollStyle) appendAnswer(dst, body []byte) []byte {
	h := head{status: 200, ctype: typeJSON, length: len(body), origin: s.origin, vary: s.vary, conn: s.conn}
	if s.callback != nil {
		h.ctype = typeScript
	}
	return append(h.append(dst), body...)
}
