//go:build linux

package protocol

import (
	"bytes"
	"errors"
	"fmt"
)

// Where a connection is in an HTTP response.
const (
	phaseHead   uint8 = iota
	phaseLength       // a body of Wire.left bytes
	phaseChunks       // at a chunk's size line
	phaseClose        // a body that lasts until the connection ends
	phaseFrames       // a WebSocket's frames, until the connection ends
)

// Wire is the state of a connection's response parser between two reads: 8 bytes. It takes
// only whole units (a head, a chunk, a frame, a body with Content-Length); the caller keeps the
// bytes of an incomplete one and offers them again together with what follows. The zero
// value is at the start of a response.
type Wire struct {
	left  uint32
	phase uint8
	Bye   bool // "Connection: close": the server will not take another request
}

// Responses receives the parts of a connection's responses. The slices alias the read
// buffer and are valid only during the call. An error ends the parsing.
type Responses interface {
	// Head is the status line and the header fields, each with its CRLF.
	Head(status int, head []byte) error
	// Piece is one chunk, the payload of one text frame, or the whole of a body with
	// Content-Length.
	Piece(body []byte) error
	// End is called after the last byte of a response: of a WebSocket, its close frame.
	End() error
}

var (
	errChunk    = errors.New("bad chunk")
	errHead     = errors.New("bad response head")
	errTooLarge = errors.New("response unit over 64 MiB")
)

// IsCorrupt reports whether an error of Feed or Messages means that the bytes break the
// protocol.
func IsCorrupt(err error) bool {
	return errors.Is(err, errMessage) || errors.Is(err, errChunk) || errors.Is(err, errFrame) || errors.Is(err, errHead)
}

const maxUnit = 64 << 20

var crlfcrlf = []byte("\r\n\r\n")

// Feed parses b, passes its parts on to r, and returns how many of its bytes were whole
// units. The error is r's, or says what is wrong with the bytes.
func (w *Wire) Feed(b []byte, r Responses) (used int, err error) {
	for used < len(b) {
		n, err := w.unit(b[used:], r)
		if n == 0 || err != nil {
			return used, err
		}
		used += n
	}
	return used, nil
}

// unit takes one unit from b and returns its length, 0 when it is incomplete.
func (w *Wire) unit(b []byte, r Responses) (int, error) {
	switch w.phase {
	case phaseHead:
		return w.readHead(b, r)
	case phaseLength:
		n := int(w.left)
		if len(b) < n {
			return 0, nil
		}
		w.phase = phaseHead
		if err := r.Piece(b[:n]); err != nil {
			return 0, err
		}
		return n, r.End()
	case phaseChunks:
		return w.readChunk(b, r)
	case phaseFrames:
		return w.readFrame(b, r)
	}
	return len(b), r.Piece(b)
}

func (w *Wire) readHead(b []byte, r Responses) (int, error) {
	end := bytes.Index(b, crlfcrlf)
	if end < 0 {
		if len(b) > 64<<10 {
			return 0, errHead
		}
		return 0, nil
	}
	head := b[:end+2]
	if len(head) < 15 || string(head[:7]) != "HTTP/1." || head[8] != ' ' {
		return 0, fmt.Errorf("%w: %.60q", errHead, head)
	}
	status := 0
	for _, c := range head[9:12] {
		status = status*10 + int(c-'0')
	}
	frame := w.framing
	if status == 101 {
		frame = w.upgraded
	}
	if err := frame(head); err != nil {
		return 0, err
	}
	if err := r.Head(status, head); err != nil {
		return 0, err
	}
	if w.phase == phaseLength && w.left == 0 {
		w.phase = phaseHead
		if err := r.End(); err != nil {
			return 0, err
		}
	}
	return end + 4, nil
}

// framing reads from the head how the body is framed.
func (w *Wire) framing(head []byte) error {
	w.phase, w.Bye = phaseClose, false
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		head = rest
		switch {
		case hasField(line, "content-length:"):
			n, ok := readDecimal(bytes.TrimSpace(line[len("content-length:"):]))
			if !ok {
				return fmt.Errorf("%w: %.60q", errHead, line)
			}
			if n > maxUnit {
				return errTooLarge
			}
			w.phase, w.left = phaseLength, uint32(n)
		case hasField(line, "transfer-encoding:"):
			w.phase = phaseChunks
		case hasField(line, "connection:"):
			w.Bye = bytes.EqualFold(bytes.TrimSpace(line[len("connection:"):]), []byte("close"))
		}
	}
	return nil
}

// hasField reports whether a header line starts with a lower-case field name.
func hasField(line []byte, name string) bool {
	if len(line) < len(name) || line[0]|0x20 != name[0] {
		return false
	}
	for i := range len(name) {
		if c := line[i]; c != name[i] && (c < 'A' || c > 'Z' || c|0x20 != name[i]) {
			return false
		}
	}
	return true
}

func (w *Wire) readChunk(b []byte, r Responses) (int, error) {
	size, i := 0, 0
	for ; i < len(b) && b[i] != '\r' && b[i] != ';'; i++ {
		d := hexValue[b[i]|0x20]
		if d > 15 || i > 7 {
			return 0, errChunk
		}
		size = size<<4 | int(d)
	}
	if size > maxUnit {
		return 0, errTooLarge
	}
	line := bytes.IndexByte(b[i:], '\n')
	if line < 0 {
		if len(b) > 4096 {
			return 0, errChunk
		}
		return 0, nil
	}
	if i == 0 || line == 0 || b[i+line-1] != '\r' {
		return 0, errChunk
	}
	from := i + line + 1
	if len(b) < from+size+2 {
		return 0, nil
	}
	if b[from+size] != '\r' || b[from+size+1] != '\n' {
		return 0, errChunk
	}
	if size > 0 {
		return from + size + 2, r.Piece(b[from : from+size])
	}
	w.phase = phaseHead
	return from + 2, r.End()
}

// readDecimal reads 1 to 18 digits, so nothing overflows.
func readDecimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
