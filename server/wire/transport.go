package wire

import (
	"unicode/utf8"

	"icomet/channel"
)

// Transport is how a subscriber gets its messages.
type Transport uint8

const (
	TransportNone      Transport = iota // not a subscriber
	TransportPoll                       // one answer, then the client asks again
	TransportStream                     // endless chunks of JSON lines
	TransportSSE                        // server-sent events
	TransportIframe                     // endless chunks of script elements
	TransportPresence                   // /psub: lines about channels
	TransportDashboard                  // the dashboard's feed
	TransportCount                      // how many there are
)

var transportNames = [TransportCount]string{"none", "poll", "stream", "sse", "iframe", "psub", "dashboard"}

// String is the name that metrics and reports use.
func (t Transport) String() string { return transportNames[t] }

// TransportContentType is the Content-Type of an open response by transport.
var TransportContentType = [TransportCount]string{
	TransportStream:   ContentJSON,
	TransportSSE:      "text/event-stream; charset=utf-8",
	TransportIframe:   "text/html; charset=utf-8",
	TransportPresence: ContentText,

	TransportDashboard: "text/event-stream; charset=utf-8",
}

// Content-Types that several kinds of answer have.
const (
	ContentJSON   = "application/json; charset=utf-8"
	ContentScript = "text/javascript; charset=utf-8"
	ContentText   = "text/plain; charset=utf-8"
)

// The times, in ms, that an EventSource waits before it connects again: after a connection
// that broke, and after the server has said that coming back at once is of no use.
const (
	retryBroken  = "retry: 2000\n"
	retryRefused = "retry: 15000\n"
)

// Preambles are what an open response begins with, by transport, before any message. A
// proxy that waits for the first byte opens the response with it.
var Preambles = [TransportCount]string{
	TransportSSE: retryBroken,
	TransportIframe: `<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">` +
		`<meta http-equiv="Cache-Control" content="no-cache"><meta http-equiv="Expires" content="0">` +
		`<title></title></head><body>` + "\n",
}

// Form is how the messages of a batch look as bytes: all subscribers with the same
// form get the same bytes. An open response is chunked on HTTP/1.1 and not on 1.0.
type Form uint8

const (
	FormPollScript Form = iota // poll with the default callback on a plain kept-alive connection
	FormPollJSON               // the same without a callback
	formOpen                   // + 2×transport + (1 on HTTP/1.0)
	// FormCount is how many forms there are.
	FormCount = formOpen + 2*Form(TransportCount)
)

// OpenForm is the form of an open response.
func OpenForm(t Transport, http10 bool) Form {
	f := formOpen + 2*Form(t)
	if http10 {
		f++
	}
	return f
}

func (f Form) transport() Transport { return Transport((f - formOpen) / 2) }

// Chunked reports that the response has chunked framing.
func (f Form) Chunked() bool { return (f-formOpen)%2 == 0 }

// appendPart appends one event in the transport's framing, without the chunk.
func (t Transport) appendPart(dst []byte, e *Event) []byte {
	switch t {
	case TransportSSE:
		switch e.Type {
		case typeClose, TypeToken, TypeTooMany:
			dst = append(dst, retryRefused...)
		}
		dst = append(dst, "data: "...)
		dst = append(e.append(dst, false), '\n')
		return append(appendEventID(dst, e), '\n')
	case TransportIframe:
		dst = append(dst, "<script>parent.icomet_cb("...)
		return append(e.append(dst, true), ");</script>\n"...)
	case TransportPresence:
		dst = append(dst, e.Type...)
		dst = append(dst, ' ')
		return append(appendPresenceName(dst, e.Content), '\n')
	}
	return append(e.append(dst, false), '\n')
}

// appendEventID gives a browser what it repeats as Last-Event-ID when it
// reconnects; behind next_seq, the number before the one it is to ask for. It stands
// behind the data: many clients take an id as had when they read it, and would lose the
// message of an event that is cut between the two.
func appendEventID(dst []byte, e *Event) []byte {
	id := e.Seq
	switch e.Type {
	case TypeData, TypeBroadcast:
	case typeNextSeq:
		id--
	default:
		return dst
	}
	dst = append(dst, "id: "...)
	return append(AppendInt(dst, id), '\n')
}

// AppendOpen appends one event to an open response of that form: a chunk of its
// own, so that no client ever sees half a message. scratch is overwritten.
func (f Form) AppendOpen(dst []byte, e *Event, scratch *[]byte) []byte {
	if !f.Chunked() {
		return f.transport().appendPart(dst, e)
	}
	*scratch = f.transport().appendPart((*scratch)[:0], e)
	return AppendChunk(dst, *scratch)
}

// AppendMessage appends a stored or control message to an open response: the event,
// after a broadcast the next_seq that old clients need, after a close the end.
func (f Form) AppendMessage(dst []byte, cname []byte, m *channel.Message, scratch *[]byte) []byte {
	e := messageEvent(cname, m)
	dst = f.AppendOpen(dst, &e, scratch)
	switch m.Type {
	case channel.Broadcast:
		e = NextSeqEvent(cname, m.Seq+1)
		dst = f.AppendOpen(dst, &e, scratch)
	case channel.Closed:
		if f.Chunked() {
			dst = append(dst, LastChunk...)
		}
	}
	return dst
}

func messageEvent(cname []byte, m *channel.Message) Event {
	e := Event{Type: TypeData, Cname: cname, Seq: m.Seq, Content: m.Content}
	switch m.Type {
	case channel.Broadcast:
		e.Type = TypeBroadcast
	case channel.Closed:
		e.Type = typeClose
	case channel.Moved:
		e.Type = typeNextSeq
	case channel.Online:
		e.Type = "1"
	case channel.Offline:
		e.Type = "0"
	}
	return e
}

// NextSeqEvent tells a subscriber the next seq to ask for. cname is encoded.
func NextSeqEvent(cname []byte, seq int64) Event {
	return Event{Type: typeNextSeq, Cname: cname, Seq: seq}
}

// appendPresenceName percent-encodes what would not fit in a line, and the percent sign, so
// that two names never look the same. The name is UTF-8.
func appendPresenceName(dst []byte, name string) []byte {
	for i, r := range name {
		if r >= 0x20 && r != '%' && (r < 0x7f || r > 0x9f) && r != 0x2028 && r != 0x2029 {
			dst = utf8.AppendRune(dst, r)
			continue
		}
		for _, b := range []byte(name[i : i+utf8.RuneLen(r)]) {
			dst = append(dst, '%', hexUpper[b>>4], hexUpper[b&15])
		}
	}
	return dst
}

const hexUpper = "0123456789ABCDEF"
