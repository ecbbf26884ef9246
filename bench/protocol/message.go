//go:build linux

package protocol

import (
	"bytes"
	"errors"
	"fmt"
)

// Kind is the type of a message.
type Kind uint8

// The kinds of message that the protocol has.
const (
	KindData Kind = iota
	KindBroadcast
	KindNextSeq
	KindNoop
	KindClose
	KindRefused // 401 and 429
	KindJoined  // the last answer to what Codec.Join made
	KindAnswer  // another one
)

var kindNames = [...]string{KindData: "data", KindBroadcast: "broadcast", KindNextSeq: "next_seq", KindNoop: "noop", KindClose: "close"}

// Message is one message as it arrived. Content and ID alias the read buffer and are valid
// only during the call that got them.
type Message struct {
	Kind    Kind
	Channel uint32 // the number in its cname
	Seq     uint32
	Content []byte
	ID      []byte // of the event, on a connection with several channels; nil where it has none
}

var errMessage = errors.New("not a message of the protocol")

// icometMessages calls each for every message of one piece of a response: a
// chunk of a stream, a frame, or the body of a poll. The framing must be exact. several is
// true for a connection with several channels.
func icometMessages(t Transport, several bool, prefix string, piece []byte, each func(Message) error) error {
	b, id, ok := unframe(t, piece)
	if !ok {
		return fmt.Errorf("%w: %.120q", errMessage, piece)
	}
	if b == nil {
		return nil
	}
	array := t == Poll && len(b) > 0 && b[0] == '['
	if array {
		b = b[1:]
	}
	for {
		m, rest, ok := readMessage(b, prefix)
		if !ok || t == SSE && !several && m.Kind <= KindBroadcast && lastSeq(id) != int64(m.Seq) {
			return fmt.Errorf("%w: %.120q", errMessage, piece)
		}
		if several {
			m.ID = id
		}
		if err := each(m); err != nil {
			return err
		}
		if array && len(rest) > 0 && rest[0] == ',' {
			b = rest[1:]
			continue
		}
		if array && string(rest) == "]" || !array && len(rest) == 0 {
			return nil
		}
		return fmt.Errorf("%w: %.120q", errMessage, piece)
	}
}

const (
	iframeBefore = "<script>parent.icomet_cb("
	iframeAfter  = ");</script>\n"
	pollBefore   = "icomet_cb("
	pollAfter    = ");\n"
)

// unframe removes the transport's wrapping; inner is nil for a piece without a message.
// id is the event's id, which stands behind the data, nil when it has none.
func unframe(t Transport, b []byte) (inner, id []byte, ok bool) {
	switch t {
	case WS:
		return b, nil, len(b) > 0
	case Stream:
		inner, ok = within(b, "", "\n")
	case SSE:
		b = bytes.TrimPrefix(b, []byte("retry: 15000\n")) // before a message that ends the response
		if string(b) == "retry: 2000\n" {
			return nil, id, true // what the response begins with
		}
		if inner, ok = within(b, "data: ", "\n\n"); !ok {
			return nil, id, false
		}
		if data, line, has := bytes.Cut(inner, []byte("\n")); has {
			if line, has = after(line, "id: "); has {
				id, has = line, lastSeq(line) >= 0
			}
			return data, id, has
		}
	case Iframe:
		if !bytes.HasPrefix(b, []byte("<script>")) {
			return nil, id, true // the page's head, before the first message
		}
		inner, ok = within(b, iframeBefore, iframeAfter)
	case Poll:
		inner, ok = within(b, pollBefore, pollAfter)
	}
	return inner, id, ok
}

// lastSeq is the seq at the end of an event id, EPOCH-SEQ, or -1 when there is none.
func lastSeq(id []byte) int64 {
	if seq, ok := readDecimal(id[bytes.LastIndexByte(id, '-')+1:]); ok {
		return seq
	}
	return -1
}

// CheckID reports whether the event id of a connection with n channels brings back all of
// them: EPOCH-SEQ for each, in the order of the request. had is the seq that the i-th had last.
func CheckID(id []byte, n int, had func(i int) uint32) bool {
	for i := range n {
		part, rest, more := bytes.Cut(id, []byte(","))
		if more != (i < n-1) || bytes.IndexByte(part, '-') < 1 || lastSeq(part) != int64(had(i)) {
			return false
		}
		id = rest
	}
	return true
}

func within(b []byte, before, after string) ([]byte, bool) {
	if len(b) < len(before)+len(after) || string(b[:len(before)]) != before || string(b[len(b)-len(after):]) != after {
		return nil, false
	}
	return b[len(before) : len(b)-len(after)], true
}

// readMessage takes one message off b: compact JSON with the keys in the
// protocol's order. Contents of the harness need no escapes, so the first
// quote ends one.
func readMessage(b []byte, prefix string) (m Message, rest []byte, ok bool) {
	if b, ok = after(b, `{"type":"`); !ok {
		return m, nil, false
	}
	end := bytes.IndexByte(b, '"')
	if end < 0 || !m.setKind(b[:end]) {
		return m, nil, false
	}
	if b, ok = after(b[end:], `","cname":"`); !ok {
		return m, nil, false
	}
	if b, ok = after(b, prefix); !ok {
		return m, nil, false
	}
	if m.Channel, b, ok = leadingUint32(b); !ok {
		return m, nil, false
	}
	if b, ok = after(b, `","seq":`); !ok {
		return m, nil, false
	}
	if m.Seq, b, ok = leadingUint32(b); !ok {
		return m, nil, false
	}
	if b, ok = after(b, `,"content":"`); !ok {
		return m, nil, false
	}
	if end = bytes.IndexByte(b, '"'); end < 0 {
		return m, nil, false
	}
	m.Content = b[:end]
	rest, ok = after(b[end:], `"}`)
	return m, rest, ok
}

func (m *Message) setKind(name []byte) bool {
	for k, n := range kindNames {
		if string(name) == n {
			m.Kind = Kind(k)
			return true
		}
	}
	m.Kind = KindRefused
	return string(name) == "401" || string(name) == "429"
}

func after(b []byte, s string) ([]byte, bool) {
	if len(b) < len(s) || string(b[:len(s)]) != s {
		return nil, false
	}
	return b[len(s):], true
}

func leadingUint32(b []byte) (uint32, []byte, bool) {
	i, n := 0, uint64(0)
	for ; i < len(b) && i < 10 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return uint32(n), b[i:], i > 0 && n <= 0xffffffff
}
