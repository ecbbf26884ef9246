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

// AppendMessages appends a body with live messages: an object for one, an array for
// several, and for one that another event follows.
func (s *PollStyle) AppendMessages(dst []byte, ch Channel, ms []channel.Message) []byte {
	array := len(ms) > 1 || ms[0].Type == channel.Broadcast || ms[0].Type == channel.Final
	if dst = s.open(dst); array {
		dst = append(dst, '[')
	}
	for i := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.appendElement(dst, ch, &ms[i])
	}
	if array {
		dst = append(dst, ']')
	}
	return s.close(dst)
}

// AppendStored appends a body with what a poll gets at once: an event, the stored messages
// and an event, of which some may be absent (nil). It is an array if there are messages or
// both events.
func (s *PollStyle) AppendStored(dst []byte, first *Event, ch Channel, ms []channel.Message, last *Event) []byte {
	array := len(ms) > 0 || first != nil && last != nil
	if dst = s.open(dst); array {
		dst = append(dst, '[')
	}
	start := len(dst)
	if first != nil {
		dst = first.append(dst, s.Callback != nil)
	}
	for i := range ms {
		dst = s.appendElement(appendComma(dst, start), ch, &ms[i])
	}
	if last != nil {
		dst = last.append(appendComma(dst, start), s.Callback != nil)
	}
	if array {
		dst = append(dst, ']')
	}
	return s.close(dst)
}

// appendComma appends a comma unless nothing was appended since start.
func appendComma(dst []byte, start int) []byte {
	if len(dst) == start {
		return dst
	}
	return append(dst, ',')
}

// appendElement appends a message as an element of an array, and the event that follows it.
func (s *PollStyle) appendElement(dst []byte, ch Channel, m *channel.Message) []byte {
	e := messageEvent(ch, m)
	dst = e.append(dst, s.Callback != nil)
	if e, ok := behind(ch, m); ok {
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

// AppendLongFirst appends the beginning of the body of such an answer, with an event.
func (s *PollStyle) AppendLongFirst(dst []byte, e *Event) []byte {
	return e.append(append(s.open(dst), '['), s.Callback != nil)
}

// AppendLong appends a message to the body of such an answer; begun says that something is
// in it already.
func (s *PollStyle) AppendLong(dst []byte, ch Channel, m *channel.Message, begun bool) []byte {
	if begun {
		dst = append(dst, ',')
	} else {
		dst = append(s.open(dst), '[')
	}
	return s.appendElement(dst, ch, m)
}

// AppendLongEnd ends the body, with an event if last is not nil.
func (s *PollStyle) AppendLongEnd(dst []byte, last *Event) []byte {
	if last != nil {
		dst = last.append(append(dst, ','), s.Callback != nil)
	}
	return s.close(append(dst, ']'))
}
