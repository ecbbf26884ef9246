package servertest

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// What the first byte of a WebSocket frame says: the end of a message, and its kind.
const (
	FrameFin          = 0x80
	FrameContinuation = 0x0
	FrameText         = 0x1
	FrameBinary       = 0x2
	FrameClose        = 0x8
	FramePing         = 0x9
	FramePong         = 0xa
)

// WebSocketFields are the fields of a handshake as RFC 6455 section 1.2 has it.
const WebSocketFields = "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// AppendFrame appends a masked frame. first is its first byte.
func AppendFrame(dst []byte, first byte, payload string) []byte {
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, first, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 0x80|127), uint64(n))
	}
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], rand.Uint32())
	dst = append(dst, mask[:]...)
	for i := range len(payload) {
		dst = append(dst, payload[i]^mask[i%4])
	}
	return dst
}

// SendFrame sends a frame that is a whole message or a control frame.
func (c *Conn) SendFrame(kind byte, payload string) error {
	_, err := c.Write(AppendFrame(nil, FrameFin|kind, payload))
	return err
}

// Frame reads a frame. One that is masked is an error.
func (c *Conn) Frame() (first byte, payload string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c.R, head[:2]); err != nil {
		return 0, "", err
	}
	first = head[0]
	n := uint64(head[1])
	if n > 127 {
		return first, "", fmt.Errorf("a masked frame: % x", head[:2])
	}
	switch n {
	case 126:
		_, err = io.ReadFull(c.R, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(c.R, head[:])
		n = binary.BigEndian.Uint64(head[:])
	}
	switch {
	case err != nil:
		return first, "", err
	case n > 64<<20:
		return first, "", fmt.Errorf("a frame of %d bytes", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(c.R, b)
	return first, string(b), err
}

// CloseError is the end of a WebSocket: what the server's close frame says.
type CloseError struct {
	Code   int
	Reason string
}

// Error says both.
func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %q", e.Code, e.Reason) }

// Text reads the next text message. A ping is passed over. The error is a *CloseError
// when a close frame comes.
func (c *Conn) Text() (string, error) {
	for {
		first, payload, err := c.Frame()
		if err != nil {
			return "", err
		}
		switch first {
		case FrameFin | FrameText:
			return payload, nil
		case FrameFin | FramePing:
		case FrameFin | FrameClose:
			end := &CloseError{Code: 1005}
			if len(payload) >= 2 {
				end.Code, end.Reason = int(payload[0])<<8|int(payload[1]), payload[2:]
			}
			return "", end
		default:
			return "", fmt.Errorf("a frame that begins with %#x: %.100q", first, payload)
		}
	}
}

// Upgrade asks for a WebSocket and reads the head of the answer. fields are further ones,
// each with its line end.
func (c *Conn) Upgrade(path, fields string) (head string, err error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n%s%s\r\n", path, WebSocketFields, fields); err != nil {
		return "", err
	}
	head, err = c.Head()
	if err == nil && !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		err = fmt.Errorf("%s: no WebSocket: %s", path, head)
	}
	return head, err
}
