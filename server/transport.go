package server

import (
	"icomet/channel"
)

// transport is how a subscriber gets its messages.
type transport uint8

const (
	transportNone      transport = iota // not a subscriber
	transportPoll                       // one answer, then the client asks again
	transportStream                     // endless chunks of JSON lines
	transportSSE                        // server-sent events
	transportIframe                     // endless chunks of script elements
	transportPresence                   // /psub: lines about channels
	transportDashboard                  // the dashboard's feed
	transportCount
)

var transportNames = [transportCount]string{"none", "poll", "stream", "sse", "iframe", "psub", "dashboard"}

func (t transport) String() string { return transportNames[t] }

var transportContentType = [transportCount]string{
	transportStream:   typeJSON,
	transportSSE:      "text/event-stream; charset=utf-8",
	transportIframe:   "text/html; charset=utf-8",
	transportPresence: typeText,

	transportDashboard: "text/event-stream; charset=utf-8",
}

// The Content-Types more than one answer has.
const (
	typeJSON   = "application/json; charset=utf-8"
	typeScript = "text/javascript; charset=utf-8"
	typeText   = "text/plain; charset=utf-8"
)

// iframePreamble is the first chunk of a forever iframe.
const iframePreamble = `<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">` +
	`<meta http-equiv="Cache-Control" content="no-cache"><meta http-equiv="Expires" content="0">` +
	`<title></title></head><body>` + "\n"

// form is how the messages of a batch look as bytes: all subscribers with the same
// form get the same bytes. An open response is chunked on HTTP/1.1 and not on 1.0.
type form uint8

const (
	formPollScript form = iota // poll with the default callback on a plain kept-alive connection
	formPollJSON               // the same without a callback
	formOpen                   // + 2×transport + (1 on HTTP/1.0)
	formCount      = formOpen + 2*form(transportCount)
)

func openForm(t transport, http10 bool) form {
	f := formOpen + 2*form(t)
	if http10 {
		f++
	}
	return f
}

func (f form) transport() transport { return transport((f - formOpen) / 2) }
func (f form) chunked() bool        { return (f-formOpen)%2 == 0 }

// appendPart appends one event in the transport's framing, without the chunk.
func (t transport) appendPart(dst []byte, e *event) []byte {
	switch t {
	case transportSSE:
		dst = appendEventID(dst, e)
		dst = append(dst, "data: "...)
		return append(e.append(dst, false), "\n\n"...)
	case transportIframe:
		dst = append(dst, "<script>parent.icomet_cb("...)
		return append(e.append(dst, true), ");</script>\n"...)
	case transportPresence:
		dst = append(dst, e.typ...)
		dst = append(dst, ' ')
		return append(appendPresenceName(dst, e.content), '\n')
	}
	return append(e.append(dst, false), '\n')
}

// appendEventID gives a browser what it repeats as Last-Event-ID when it
// reconnects; behind next_seq, the number before the one it is to ask for.
func appendEventID(dst []byte, e *event) []byte {
	id := e.seq
	switch e.typ {
	case typeData, typeBroadcast:
	case typeNextSeq:
		id--
	default:
		return dst
	}
	dst = append(dst, "id: "...)
	return append(appendInt(dst, id), '\n')
}

// appendOpen appends one event to an open response of that form: a chunk of its
// own, so that no client ever sees half a message. scratch is overwritten.
func (f form) appendOpen(dst []byte, e *event, scratch *[]byte) []byte {
	if !f.chunked() {
		return f.transport().appendPart(dst, e)
	}
	*scratch = f.transport().appendPart((*scratch)[:0], e)
	return appendChunk(dst, *scratch)
}

// appendMessage appends a stored or control message to an open response: the event,
// after a broadcast the next_seq that old clients need, after a close the end.
func (f form) appendMessage(dst []byte, cname []byte, m *channel.Message, scratch *[]byte) []byte {
	e := messageEvent(cname, m)
	dst = f.appendOpen(dst, &e, scratch)
	switch m.Type {
	case channel.Broadcast:
		e = nextSeqEvent(cname, m.Seq+1)
		dst = f.appendOpen(dst, &e, scratch)
	case channel.Closed:
		if f.chunked() {
			dst = append(dst, lastChunk...)
		}
	}
	return dst
}

func messageEvent(cname []byte, m *channel.Message) event {
	e := event{typ: typeData, cname: cname, seq: m.Seq, content: m.Content}
	switch m.Type {
	case channel.Broadcast:
		e.typ = typeBroadcast
	case channel.Closed:
		e.typ = typeClose
	case channel.Moved:
		e.typ = typeNextSeq
	case channel.Online:
		e.typ = "1"
	case channel.Offline:
		e.typ = "0"
	}
	return e
}

func nextSeqEvent(cname []byte, seq int64) event {
	return event{typ: typeNextSeq, cname: cname, seq: seq}
}

// appendPresenceName percent-encodes what would not fit in a line.
func appendPresenceName(dst []byte, name string) []byte {
	for i := 0; i < len(name); i++ {
		if b := name[i]; b < 0x20 || b == 0x7f {
			dst = append(dst, '%', hexUpper[b>>4], hexUpper[b&15])
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}

const hexUpper = "0123456789ABCDEF"
