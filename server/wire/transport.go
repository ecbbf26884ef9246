package wire

import (
	"unicode/utf8"

	"icomet/channel"
	"icomet/httpparse/wsframe"
	"icomet/server/deflate"
)

// Transport is how a subscriber gets its messages.
type Transport uint8

const (
	TransportNone      Transport = iota // not a subscriber
	TransportPoll                       // one answer, then the client asks again
	TransportStream                     // endless chunks of JSON lines
	TransportSSE                        // server-sent events
	TransportIframe                     // endless chunks of script elements
	TransportWebSocket                  // text frames
	TransportPresence                   // /psub: lines about channels
	TransportDashboard                  // the dashboard's feed
	TransportKinds                      // how many are counted apart
)

// Further transports are counted as one of those.
const (
	TransportRawStream        = TransportKinds + iota // TransportStream with the contents alone
	TransportRawSSE                                   // TransportSSE with the contents alone
	TransportRawWebSocket                             // TransportWebSocket with the contents alone
	TransportDeflateWebSocket                         // TransportWebSocket with permessage-deflate
	TransportBundlePoll                               // TransportPoll with several channels
	TransportBundleStream                             // TransportStream with several channels
	TransportBundleSSE                                // TransportSSE with several channels
	TransportBundleIframe                             // TransportIframe with several channels
	TransportCount                                    // how many there are
)

var transportNames = [TransportKinds]string{"none", "poll", "stream", "sse", "iframe", "websocket", "psub", "dashboard"}

// String is the name that metrics and reports use.
func (t Transport) String() string { return transportNames[t.Kind()] }

// Kind is the transport as which t is counted.
func (t Transport) Kind() Transport {
	switch t {
	case TransportBundlePoll:
		return TransportPoll
	case TransportRawStream, TransportBundleStream:
		return TransportStream
	case TransportRawSSE, TransportBundleSSE:
		return TransportSSE
	case TransportBundleIframe:
		return TransportIframe
	case TransportRawWebSocket, TransportDeflateWebSocket:
		return TransportWebSocket
	}
	return t
}

// Bundle is the transport t with several channels.
func (t Transport) Bundle() Transport {
	switch t {
	case TransportPoll:
		return TransportBundlePoll
	case TransportStream:
		return TransportBundleStream
	case TransportSSE:
		return TransportBundleSSE
	case TransportIframe:
		return TransportBundleIframe
	}
	return t
}

// Polls reports that a subscriber gets one answer.
func (t Transport) Polls() bool { return t.Kind() == TransportPoll }

// Frames reports that a subscriber gets WebSocket frames.
func (t Transport) Frames() bool { return t.Kind() == TransportWebSocket }

// TransportContentType is the Content-Type of an open response by transport.
var TransportContentType = [TransportCount]string{
	TransportStream:    ContentJSON,
	TransportSSE:       contentEvents,
	TransportIframe:    "text/html; charset=utf-8",
	TransportRawStream: ContentText,
	TransportRawSSE:    contentEvents,
	TransportPresence:  ContentText,
	TransportDashboard: contentEvents,

	TransportBundleStream: ContentJSON,
	TransportBundleSSE:    contentEvents,
	TransportBundleIframe: "text/html; charset=utf-8",
}

// Content-Types that several kinds of answer have.
const (
	ContentJSON   = "application/json; charset=utf-8"
	ContentScript = "text/javascript; charset=utf-8"
	ContentText   = "text/plain; charset=utf-8"
	ContentLines  = "application/x-ndjson"
	contentEvents = "text/event-stream; charset=utf-8"
)

// The times, in ms, that an EventSource waits before it connects again: after a connection
// that broke, and after the server has said that coming back at once is of no use.
const (
	retryBroken  = "retry: 2000\n"
	retryRefused = "retry: 15000\n"
)

const iframeHead = `<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">` +
	`<meta http-equiv="Cache-Control" content="no-cache"><meta http-equiv="Expires" content="0">` +
	`<title></title></head><body>` + "\n"

// Preambles are what an open response begins with, by transport, before any message. A
// proxy that waits for the first byte opens the response with it.
var Preambles = [TransportCount]string{
	TransportSSE:          retryBroken,
	TransportRawSSE:       retryBroken,
	TransportBundleSSE:    retryBroken,
	TransportIframe:       iframeHead,
	TransportBundleIframe: iframeHead,
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
func (f Form) Chunked() bool { return (f-formOpen)%2 == 0 && !f.transport().Frames() }

// Raw reports that subscribers get the contents alone.
func (t Transport) Raw() bool {
	return t == TransportRawStream || t == TransportRawSSE || t == TransportRawWebSocket
}

// appendPart appends one event in the transport's framing, without the chunk. There may be
// nothing to append.
func (t Transport) appendPart(dst []byte, e *Event) []byte {
	switch t {
	case TransportSSE:
		switch e.Type {
		case typeClose, TypeToken, TypeTooMany:
			dst = append(dst, retryRefused...)
		}
		return append(e.appendID(e.appendSSE(dst)), '\n')
	case TransportBundleSSE: // the connection has one id for all its channels, see AppendIDs, and one retry
		return append(e.appendSSE(dst), '\n')
	case TransportWebSocket, TransportDeflateWebSocket:
		return e.append(dst, false)
	case TransportIframe, TransportBundleIframe:
		dst = append(dst, "<script>parent.icomet_cb("...)
		return append(e.append(dst, true), ");</script>\n"...)
	case TransportRawStream, TransportRawSSE, TransportRawWebSocket:
		return e.appendRaw(dst, t)
	case TransportPresence:
		dst = append(dst, e.Type...)
		dst = append(dst, ' ')
		return append(appendPresenceName(dst, e.Content), '\n')
	}
	return append(e.append(dst, false), '\n')
}

func (e *Event) appendSSE(dst []byte) []byte {
	if e.Named {
		dst = append(dst, "event: lost\n"...)
	}
	dst = append(dst, "data: "...)
	return append(e.append(dst, false), '\n')
}

// appendRaw appends the content as it was published. Heartbeats are what readers skip:
// a comment, or an empty line.
func (e *Event) appendRaw(dst []byte, t Transport) []byte {
	content := e.Type == TypeData || e.Type == TypeBroadcast
	switch {
	case t == TransportRawSSE && content:
		dst = append(dst, "data: "...)
		dst = append(appendDecoded(dst, e.Content, "\ndata: "), '\n')
		return append(e.appendID(dst), '\n')
	case t == TransportRawSSE && e.Type == TypeNoop:
		return append(dst, ":\n\n"...)
	case content && t == TransportRawWebSocket:
		return appendDecoded(dst, e.Content, "")
	case content:
		return append(appendDecoded(dst, e.Content, ""), '\n')
	case e.Type == TypeNoop && t == TransportRawStream:
		return append(dst, '\n')
	}
	return dst
}

// appendID gives a browser what it repeats as Last-Event-ID when it reconnects: the
// position of the last message that it has had. Behind next_seq and position that is the
// one before the seq that it is to ask for. It stands behind the data: many clients take an
// id as had when they read it, and would lose the message of an event that is cut between
// the two.
func (e *Event) appendID(dst []byte) []byte {
	seq := e.Seq
	switch e.Type {
	case TypeData, TypeBroadcast:
	case typeNextSeq, typePosition:
		seq--
	default:
		return dst
	}
	dst = append(dst, "id: "...)
	dst = append(AppendEpoch(dst, e.Channel.Epoch), '-')
	return append(AppendInt(dst, seq), '\n')
}

// AppendOpen appends one event to an open response of that form: a chunk of its
// own, so that no client ever sees half a message. scratch is overwritten.
func (f Form) AppendOpen(dst []byte, e *Event, scratch *[]byte) []byte {
	t := f.transport()
	if !f.Chunked() && !t.Frames() {
		return t.appendPart(dst, e)
	}
	*scratch = t.appendPart((*scratch)[:0], e)
	switch {
	case t == TransportDeflateWebSocket && len(*scratch) >= deflate.Least:
		return appendDeflated(dst, scratch)
	case t == TransportWebSocket, t == TransportDeflateWebSocket, t == TransportRawWebSocket && (e.Type == TypeData || e.Type == TypeBroadcast):
		return wsframe.AppendText(dst, *scratch)
	case t == TransportRawWebSocket && e.Type == TypeNoop:
		return wsframe.AppendPing(dst, nil)
	case len(*scratch) == 0:
		return dst // an empty chunk would be the last one
	}
	return AppendChunk(dst, *scratch)
}

// appendDeflated appends what is in the scratch space as a compressed message.
func appendDeflated(dst []byte, scratch *[]byte) []byte {
	n := len(*scratch)
	*scratch = deflate.Append(*scratch, (*scratch)[:n])
	payload := (*scratch)[n:]
	return append(wsframe.AppendHeader(dst, len(payload), true), payload...)
}

// AppendMessage appends a stored or control message to an open response, and what follows
// it: behind a broadcast the next_seq that old clients need, behind a Final the end, and
// where the channel is over the end of the response.
func (f Form) AppendMessage(dst []byte, ch Channel, m *channel.Message, scratch *[]byte) []byte {
	e := messageEvent(ch, m)
	dst = f.AppendOpen(dst, &e, scratch)
	if e, ok := behind(ch, m); ok {
		dst = f.AppendOpen(dst, &e, scratch)
	}
	switch m.Type {
	case channel.Closed, channel.Ended, channel.Final:
		if f.transport().bundled() {
			return dst // its other channels go on
		}
		dst = f.AppendEnd(dst)
	}
	return dst
}

// bundled reports that a response of this transport may have other channels.
func (t Transport) bundled() bool {
	return t.Frames() || t >= TransportBundlePoll
}

// Frames is Transport.Frames.
func (f Form) Frames() bool { return f.transport().Frames() }

// AppendEnd ends an open response cleanly, as far as its framing can say so.
func (f Form) AppendEnd(dst []byte) []byte {
	switch {
	case f.transport().Frames():
		return wsframe.AppendClose(dst, wsframe.CodeNormal, "")
	case f.Chunked():
		return append(dst, LastChunk...)
	}
	return dst
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
