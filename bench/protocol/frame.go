//go:build linux

package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// wsUpgrade asks for a WebSocket. The key is RFC 6455's example, so that the answer is
// known: the harness need not compute a SHA-1 for each connection.
const (
	wsUpgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	wsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

var errFrame = errors.New("bad WebSocket frame")

// upgraded checks the head of a status 101, after which frames follow.
func (w *Wire) upgraded(head []byte) error {
	const field = "sec-websocket-accept:"
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if hasField(line, field) && string(bytes.TrimSpace(line[len(field):])) == wsAccept {
			w.phase, w.Bye = phaseFrames, false
			return nil
		}
	}
	return fmt.Errorf("%w: no right Sec-WebSocket-Accept: %.200q", errHead, head)
}

// First bytes of the frames that a server may send to the harness, which offers no
// extension and sends no pings: FIN and the opcode.
const (
	frameText  = 0x81
	frameClose = 0x88
)

// readFrame takes one frame from b, not masked and whole. A close frame ends the response.
func (w *Wire) readFrame(b []byte, r Responses) (int, error) {
	if b[0] != frameText && b[0] != frameClose {
		return 0, fmt.Errorf("%w: it begins with %#02x", errFrame, b[0])
	}
	if len(b) < 2 {
		return 0, nil
	}
	n, from := uint64(b[1]), 2
	switch {
	case n > 127, n > 125 && b[0] == frameClose:
		return 0, fmt.Errorf("%w: masked, or a close frame that is too long", errFrame)
	case n == 126:
		if from = 4; len(b) < from {
			return 0, nil
		}
		if n = uint64(binary.BigEndian.Uint16(b[2:])); n < 126 {
			return 0, fmt.Errorf("%w: length %d in three bytes", errFrame, n)
		}
	case n == 127:
		if from = 10; len(b) < from {
			return 0, nil
		}
		if n = binary.BigEndian.Uint64(b[2:]); n < 1<<16 {
			return 0, fmt.Errorf("%w: length %d in nine bytes", errFrame, n)
		}
	}
	if n > maxUnit {
		return 0, errTooLarge
	}
	end := from + int(n)
	if len(b) < end {
		return 0, nil
	}
	if b[0] == frameClose {
		return end, r.End()
	}
	return end, r.Piece(b[from:end])
}
