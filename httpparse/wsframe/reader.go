package wsframe

import "encoding/binary"

// Kind is what an Event is about.
type Kind uint8

// The kinds of events.
const (
	None  Kind = iota // more bytes are needed
	Text              // a whole message
	Ping              // to be answered by a pong with the same payload
	Pong              // needs no answer
	Close             // the last event: to be answered by a close frame with the same code
)

// Event is what a client has sent. Payload is a slice of the bytes or the buffer that
// Next was given, and valid until either changes.
type Event struct {
	Kind       Kind
	Compressed bool   // Text: Payload is to be inflated, and has not been checked for UTF-8
	Code       uint16 // Close: as sent, or CodeNone
	Payload    []byte // Close: the reason
}

// Rules are what the server allows a client.
type Rules struct {
	Limit   int  // bytes of a message, all its fragments together; 0 allows empty ones only
	Deflate bool // permessage-deflate was negotiated
}

// maxControl is the largest payload of a control frame (RFC 6455 section 5.5).
const maxControl = 125

// Bits of the first two bytes of a frame (RFC 6455 section 5.2).
const (
	bitFin     = 0x80
	bitRSV1    = 0x40 // a compressed message, RFC 7692 section 6
	bitsRSV23  = 0x30
	bitControl = 0x08
	bitMask    = 0x80

	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

type state uint8

const (
	stateHead state = iota
	stateLength
	stateLength16
	stateLength64
	stateMask
	statePayload
	stateDone // after an error or a close
)

// Bits of Reader.message.
const (
	inMessage  = 1 << iota // a text has begun and not ended
	compressed             // it has RSV1
)

// Reader reads the frames of one client as they arrive, in pieces of any size. The zero
// value is ready for the first frame. It takes 16 bytes and has no pointers.
type Reader struct {
	left    uint64 // the length, as far as it is read; then the payload bytes still to come
	mask    uint32 // little-endian, rotated: the lowest byte is for the next payload byte
	head    byte   // the first byte of the present frame
	state   state
	count   uint8 // bytes still to come of length or mask; then the payload size of a control frame
	message uint8
}

// Idle reports whether r is between two messages: it may be forgotten, and so may the
// buffer.
func (r *Reader) Idle() bool { return *r == Reader{} }

// Next reads from b up to the end of the next event, and returns the event and how many
// bytes of b it has read. Without an event (None) it has read all of b. It removes the
// mask from the payload within b. Call it again with the rest until there is none.
//
// What has come of an unfinished message or control frame is kept in buf, which must be
// empty while r is Idle and must not be changed while it is not: a message has at most
// rules.Limit bytes there, a control frame within it 125 more. An event leaves its own
// bytes behind the end of buf, or in b.
//
// The events and the error, which is an *Error, depend only on the bytes, not on how they
// arrive in pieces. What follows an error or a Close is read and dropped.
func (r *Reader) Next(b []byte, buf *[]byte, rules Rules) (ev Event, n int, err error) {
	for n < len(b) {
		if r.state == stateDone {
			return Event{}, len(b), nil
		}
		if r.state != statePayload {
			e := r.headerByte(b[n], len(*buf), rules)
			n++
			if e != nil {
				*r = Reader{state: stateDone}
				return Event{}, n, e
			}
			if r.state != statePayload || r.left > 0 {
				continue
			}
		}
		end := n + int(min(r.left, uint64(len(b)-n)))
		piece := b[n:end:end]
		n = end
		r.mask = unmask(piece, r.mask)
		r.left -= uint64(len(piece))
		ev, e := r.payload(piece, buf)
		if e != nil {
			*r = Reader{state: stateDone}
			return Event{}, n, e
		}
		if ev.Kind != None {
			return ev, n, nil
		}
	}
	return Event{}, n, nil
}

// headerByte reads one byte of a header. have is what has come of the message before.
func (r *Reader) headerByte(c byte, have int, rules Rules) *Error {
	switch r.state {
	case stateHead:
		r.head, r.state = c, stateLength
		return r.checkHead(rules.Deflate)
	case stateLength:
		return r.lengthByte(c, have, rules)
	case stateLength16, stateLength64:
		if r.state == stateLength64 && r.count == 8 && c >= 0x80 {
			return ErrLengthTopBit
		}
		r.left = r.left<<8 | uint64(c)
		if r.count--; r.count > 0 {
			return nil
		}
		if r.left <= maxControl || r.left <= 0xffff && r.state == stateLength64 {
			return ErrLengthForm
		}
		return r.lengthEnd(have, rules)
	}
	r.mask |= uint32(c) << (8 * (4 - r.count))
	if r.count--; r.count == 0 {
		r.state = statePayload
		r.count = uint8(r.left) // means something only for a control frame
	}
	return nil
}

// checkHead judges the first byte of a frame, and notes the begin of a message.
func (r *Reader) checkHead(deflate bool) *Error {
	op := r.head & 0x0f
	begins := op == opText || op == opBinary
	switch {
	case r.head&bitsRSV23 != 0 || r.head&bitRSV1 != 0 && !(deflate && begins):
		return ErrReservedBit
	case op > opPong || op > opBinary && op < opClose:
		return ErrReservedOpcode
	case op >= opClose && r.head&bitFin == 0:
		return ErrControlPart
	case op == opContinuation && r.message == 0:
		return ErrNoStart
	case begins && r.message != 0:
		return ErrNoEnd
	case op == opBinary:
		return ErrBinary
	}
	if begins {
		r.message = inMessage
		if r.head&bitRSV1 != 0 {
			r.message |= compressed
		}
	}
	return nil
}

// lengthByte reads the second byte of a frame.
func (r *Reader) lengthByte(c byte, have int, rules Rules) *Error {
	n := c &^ bitMask
	switch {
	case c&bitMask == 0:
		return ErrNotMasked
	case n > maxControl && r.head&bitControl != 0:
		return ErrControlLength
	case n == 126:
		r.state, r.count = stateLength16, 2
		return nil
	case n == 127:
		r.state, r.count = stateLength64, 8
		return nil
	}
	r.left = uint64(n)
	return r.lengthEnd(have, rules)
}

// lengthEnd judges the length, which is known now.
func (r *Reader) lengthEnd(have int, rules Rules) *Error {
	if r.head&bitControl == 0 && r.left > uint64(max(rules.Limit-have, 0)) {
		return ErrTooLarge
	}
	r.state, r.count = stateMask, 4
	return nil
}

// payload takes a piece of the payload. It returns the event that it completes, if any.
func (r *Reader) payload(piece []byte, buf *[]byte) (Event, *Error) {
	if r.head&bitControl != 0 {
		return r.control(piece, buf)
	}
	whole := r.left == 0 && r.head&bitFin != 0
	data, unchecked := piece, piece
	if have := len(*buf); have > 0 || !whole {
		from := have - partialRune(*buf)
		*buf = append(*buf, piece...)
		data = (*buf)[:len(*buf):len(*buf)]
		unchecked = data[from:]
	}
	isCompressed := r.message&compressed != 0
	if !isCompressed && !validText(unchecked, whole) {
		return Event{}, ErrText
	}
	switch {
	case whole:
		*r, *buf = Reader{}, (*buf)[:0]
		return Event{Kind: Text, Compressed: isCompressed, Payload: data}, nil
	case r.left == 0:
		*r = Reader{message: r.message}
	}
	return Event{}, nil
}

// control takes a piece of the payload of a control frame, which may come between two
// fragments of a message.
func (r *Reader) control(piece []byte, buf *[]byte) (Event, *Error) {
	size := int(r.count)
	if r.left > 0 || len(piece) < size {
		*buf = append(*buf, piece...)
	}
	if r.left > 0 {
		return Event{}, nil
	}
	if len(piece) < size {
		end := len(*buf)
		piece = (*buf)[end-size : end : end]
		*buf = (*buf)[:end-size]
	}
	op := r.head & 0x0f
	*r = Reader{message: r.message}
	switch op {
	case opPing:
		return Event{Kind: Ping, Payload: piece}, nil
	case opPong:
		return Event{Kind: Pong, Payload: piece}, nil
	}
	*r = Reader{state: stateDone}
	return closeEvent(piece)
}

// closeEvent reads the payload of a close frame (RFC 6455 section 5.5.1).
func closeEvent(p []byte) (Event, *Error) {
	if len(p) == 0 {
		return Event{Kind: Close, Code: CodeNone}, nil
	}
	if len(p) == 1 {
		return Event{}, ErrCloseLength
	}
	code, reason := binary.BigEndian.Uint16(p), p[2:]
	if !mayBeSent(code) {
		return Event{}, ErrCloseCode
	}
	if !validText(reason, true) {
		return Event{}, ErrCloseReason
	}
	return Event{Kind: Close, Code: code, Payload: reason}, nil
}

// mayBeSent reports whether a close frame may have this code: one of RFC 6455 section
// 7.4.1, of 1012 to 1014, which were registered with IANA later, or of a library or an
// application (section 7.4.2).
func mayBeSent(code uint16) bool {
	switch {
	case code < CodeNormal || code > 4999:
		return false
	case code >= 3000:
		return true
	}
	return code <= 1014 && (code < 1004 || code > 1006)
}
