package wire

import "icomet/channel"

// DefaultCallback wraps the answers of /poll when the client names none.
var DefaultCallback = []byte("icomet_cb")

// PollStyle is what can differ between the answers of two polls.
type PollStyle struct {
	CORS
	Date       string
	Callback   []byte // nil: bare JSON
	Connection ConnField
}

// AppendEvent appends a body with one message.
func (s *PollStyle) AppendEvent(dst []byte, e *Event) []byte {
	dst = s.open(dst)
	return s.close(e.append(dst, s.Callback != nil))
}

// AppendMessages appends a body: an object for one live message; an array for a backlog,
// for several messages, and for a broadcast with its next_seq.
func (s *PollStyle) AppendMessages(dst []byte, cname []byte, ms []channel.Message, backlog bool) []byte {
	scriptSafe := s.Callback != nil
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
			e = NextSeqEvent(cname, ms[i].Seq+1)
			dst = e.append(append(dst, ','), scriptSafe)
		}
	}
	if array {
		dst = append(dst, ']')
	}
	return s.close(dst)
}

func (s *PollStyle) open(dst []byte) []byte {
	if s.Callback == nil {
		return dst
	}
	return append(append(dst, s.Callback...), '(')
}

func (s *PollStyle) close(dst []byte) []byte {
	if s.Callback == nil {
		return append(dst, '\n')
	}
	return append(dst, ");\n"...)
}

// AppendAnswer appends the whole answer around a body.
func (s *PollStyle) AppendAnswer(dst, body []byte) []byte {
	return append(s.AppendHead(dst, len(body)), body...)
}

// AppendHead appends the head of an answer with a body of that length.
func (s *PollStyle) AppendHead(dst []byte, length int) []byte {
	h := Head{Status: 200, Ctype: ContentJSON, Length: length, CORS: s.CORS, Date: s.Date, Connection: s.Connection}
	if s.Callback != nil {
		h.Ctype = ContentScript
	}
	return h.Append(dst)
}
