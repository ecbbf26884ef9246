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
	array := backlog || len(ms) > 1 || ms[0].Type == channel.Broadcast
	if dst = s.open(dst); array {
		dst = append(dst, '[')
	}
	for i := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.appendElement(dst, cname, &ms[i])
	}
	if array {
		dst = append(dst, ']')
	}
	return s.close(dst)
}

// appendElement appends a message as an element of an array, and behind a broadcast its
// next_seq.
func (s *PollStyle) appendElement(dst []byte, cname []byte, m *channel.Message) []byte {
	e := messageEvent(cname, m)
	dst = e.append(dst, s.Callback != nil)
	if m.Type == channel.Broadcast {
		e = NextSeqEvent(cname, m.Seq+1)
		dst = e.append(append(dst, ','), s.Callback != nil)
	}
	return dst
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
	h := s.head(length)
	return h.Append(dst)
}

func (s *PollStyle) head(length int) Head {
	h := Head{Status: 200, Ctype: ContentJSON, Length: length, CORS: s.CORS, Date: s.Date, Connection: s.Connection}
	if s.Callback != nil {
		h.Ctype = ContentScript
	}
	return h
}

// AppendLongHead appends the head of an answer that goes out piece by piece: chunked, or
// with http10 up to the end of the connection.
func (s *PollStyle) AppendLongHead(dst []byte, http10 bool) []byte {
	h := s.head(LengthChunked)
	if http10 {
		h.Length, h.Connection = LengthClose, ConnClose
	}
	return h.Append(dst)
}

// AppendLong appends a message to the body of such an answer.
func (s *PollStyle) AppendLong(dst []byte, cname []byte, m *channel.Message, first bool) []byte {
	if first {
		dst = append(s.open(dst), '[')
	} else {
		dst = append(dst, ',')
	}
	return s.appendElement(dst, cname, m)
}

// AppendLongEnd ends the body.
func (s *PollStyle) AppendLongEnd(dst []byte) []byte { return s.close(append(dst, ']')) }
