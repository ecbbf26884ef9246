package wire

import (
	"bytes"
	"strconv"
)

// Position is where a subscriber of a channel is: the last message that it has had.
type Position struct {
	Epoch uint32
	Seq   int64
}

// MaxEventIDs is how many channels an event id may name at most.
const MaxEventIDs = 100

// ends are the beginnings of events that carry no id.
var ends = [][]byte{
	[]byte(`data: {"type":"end"`), []byte(`data: {"type":"noop"`),
	[]byte(`data: {"type":"close"`), []byte(`data: {"type":"401"`), []byte(`data: {"type":"429"`),
}

// AppendIDs gives the last event in dst[from:], which is TransportBundleSSE's, an event id
// with the positions of all channels of the connection: what the browser repeats when it
// connects again. Events that say no position are left out; if there are no others, nothing
// changes. scratch is overwritten.
func (f Form) AppendIDs(dst []byte, from int, positions []Position, scratch *[]byte) []byte {
	start, payload, end := f.lastEvent(dst, from, saysNoPosition)
	if payload == nil || len(positions) > MaxEventIDs {
		return dst
	}
	b := append((*scratch)[:0], payload[:len(payload)-1]...) // without the empty line
	b = append(b, "id: "...)
	for i, p := range positions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendEpoch(b, p.Epoch), '-')
		b = AppendInt(b, p.Seq)
	}
	b = append(b, "\n\n"...)
	tail := len(b)
	b = append(b, dst[end:]...)
	if dst = dst[:start]; f.Chunked() {
		dst = AppendChunk(dst, b[:tail])
	} else {
		dst = append(dst, b[:tail]...)
	}
	*scratch = b
	return append(dst, b[tail:]...)
}

// AppendRetry has an EventSource wait before it comes back: the last event of dst[from:], with
// which a response of several channels ends, says so. scratch is overwritten.
func (f Form) AppendRetry(dst []byte, from int, scratch *[]byte) []byte {
	if f.transport() != TransportBundleSSE {
		return dst
	}
	start, payload, _ := f.lastEvent(dst, from, func([]byte) bool { return false })
	if payload == nil {
		return dst
	}
	b := append(append((*scratch)[:0], retryRefused...), payload...)
	if dst = dst[:start]; f.Chunked() {
		dst = AppendChunk(dst, b)
	} else {
		dst = append(dst, b...)
	}
	*scratch = b
	return dst
}

// lastEvent is the last event of dst[from:] that is not skipped, with the place of its frame; a
// nil payload: there is none.
func (f Form) lastEvent(dst []byte, from int, skip func(event []byte) bool) (start int, payload []byte, end int) {
	for at := from; at < len(dst); {
		begin := at
		var one []byte
		if f.Chunked() {
			line := bytes.IndexByte(dst[at:], '\r')
			n, err := strconv.ParseUint(string(dst[at:at+line]), 16, 32)
			if err != nil {
				break
			}
			one = dst[at+line+2:][:n]
			at += line + 2 + int(n) + 2
		} else {
			at += bytes.Index(dst[at:], []byte("\n\n")) + 2
			one = dst[begin:at]
		}
		if !skip(one) {
			start, payload, end = begin, one, at
		}
	}
	return start, payload, end
}

func saysNoPosition(event []byte) bool {
	for _, prefix := range ends {
		if bytes.HasPrefix(event, prefix) {
			return true
		}
	}
	return false
}
