package wsframe

import (
	"encoding/binary"
	"unicode/utf8"
)

// MaxHeader is the largest header of a frame that the server sends, in bytes.
const MaxHeader = 10

// AppendHeader appends the header of a text frame whose payload of n bytes follows: 2, 4
// or 10 bytes, not masked. compressed says that the payload is one message of
// permessage-deflate.
func AppendHeader(dst []byte, n int, compressed bool) []byte {
	first := byte(bitFin | opText)
	if compressed {
		first |= bitRSV1
	}
	switch {
	case n <= maxControl:
		return append(dst, first, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// AppendText appends a message as one frame. text must be UTF-8.
func AppendText(dst, text []byte) []byte {
	return append(AppendHeader(dst, len(text), false), text...)
}

// AppendPing appends a ping. payload has at most 125 bytes; what is beyond is cut.
func AppendPing(dst, payload []byte) []byte { return appendControl(dst, opPing, payload) }

// AppendPong appends the answer to a ping with this payload.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, opPong, payload) }

func appendControl(dst []byte, op byte, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	return append(append(dst, bitFin|op, byte(len(payload))), payload...)
}

// AppendClose appends a close frame. reason must be UTF-8 of at most 123 bytes; what is
// beyond is cut at the end of a character. With CodeNone the frame is empty: that is the
// answer to an empty one.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == CodeNone {
		return append(dst, bitFin|opClose, 0)
	}
	if n := maxControl - 2; len(reason) > n {
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = append(dst, bitFin|opClose, byte(2+len(reason)))
	return append(binary.BigEndian.AppendUint16(dst, code), reason...)
}
