package httpparse

import (
	"bytes"
	"encoding/binary"
	"math"
)

// parseHeader reads the fields from b[i:], after the request line, up to the
// empty line, and draws from them what the message framing depends on.
func parseHeader(r *Request, b []byte, i int, lim *Limits) error {
	short := ErrIncomplete
	if len(b)-i >= lim.Header {
		// Bytes beyond the limit must not change the verdict.
		b, short = b[:i+lim.Header], ErrHeaderTooLarge
	}
	var f framing
	r.Fields = r.Fields[:0]
	for {
		start := i
		for i < len(b) && class[b[i]]&tokenChar != 0 {
			i++
		}
		if i == len(b) {
			return short
		}
		if b[i] != ':' || i == start {
			if i > start {
				return ErrFieldName
			}
			if err := checkEmptyLine(b[i:]); err != nil {
				return orShort(err, short)
			}
			r.HeadLen = i + 2
			return f.apply(r, lim)
		}
		name := b[start:i:i]
		i++
		for i < len(b) && isOWS(b[i]) {
			i++
		}
		start = i
		i = valueEnd(b, i)
		if i == len(b) {
			return short
		}
		if b[i] != '\r' {
			return valueError(b[i])
		}
		if i+1 == len(b) {
			return short
		}
		if b[i+1] != '\n' {
			return ErrLineEnd
		}
		end := i
		for end > start && isOWS(b[end-1]) {
			end--
		}
		value := b[start:end:end]
		i += 2
		if len(r.Fields) >= lim.Fields {
			return ErrTooManyFields
		}
		r.Fields = append(r.Fields, Field{name, value})
		if err := f.note(name, value); err != nil {
			return err
		}
	}
}

// checkEmptyLine says whether b, at the place of a field name but without one,
// starts with the empty line that ends the header: nil, ErrIncomplete or what is
// wrong.
func checkEmptyLine(b []byte) error {
	switch {
	case b[0] == '\r' && len(b) == 1:
		return ErrIncomplete
	case b[0] == '\r' && b[1] == '\n':
		return nil
	case b[0] == '\r' || b[0] == '\n':
		return ErrLineEnd
	case isOWS(b[0]):
		return ErrFieldFold // RFC 9112 section 5.2
	}
	return ErrFieldName
}

// valueEnd returns the index of the first byte from i on that cannot stand in a
// field value (RFC 9110 section 5.5), or len(b).
func valueEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		marks := below(x, 0x20) | equal(x, 0x7f)
		if marks == 0 {
			continue
		}
		// A tab is allowed but so rare that it may break the stride.
		if i += first(marks); b[i] != '\t' {
			return i
		}
		i -= 7
	}
	for i < len(b) && (b[i] >= 0x20 && b[i] != 0x7f || b[i] == '\t') {
		i++
	}
	return i
}

func valueError(c byte) error {
	if c == '\n' {
		return ErrLineEnd
	}
	return ErrFieldValue
}

// framing collects the fields that say where the request ends and how the
// connection goes on.
type framing struct {
	length     int64
	lengthText []byte // nil: no Content-Length
	coding     []byte
	hosts      int
	hasCoding  bool
	close      bool
	keepAlive  bool
	expect     bool
	badExpect  bool
}

// note takes in one field. Its errors depend on this field and those before it
// only; what depends on the whole header waits for apply.
func (f *framing) note(name, value []byte) error {
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			return f.noteHost(value)
		}
	case len("expect"):
		if equalFold(name, "expect") {
			if equalFold(value, "100-continue") {
				f.expect = true
			} else {
				f.badExpect = true
			}
		}
	case len("connection"):
		if equalFold(name, "connection") {
			f.noteConnection(value)
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return f.noteLength(value)
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			if f.hasCoding || len(value) == 0 {
				return ErrTransferEncoding
			}
			f.hasCoding, f.coding = true, value
		}
	}
	return nil
}

// noteHost refuses what RFC 9112 section 3.2 does: a second Host, or one that
// cannot be a host. An empty one is what a target without authority calls for.
func (f *framing) noteHost(value []byte) error {
	f.hosts++
	if f.hosts > 1 {
		return ErrRepeatedHost
	}
	if !validHost(value) {
		return ErrBadHost
	}
	return nil
}

// validHost refuses only the characters that let two readers see two hosts; the
// host itself is never used.
func validHost(h []byte) bool {
	for _, c := range h {
		if class[c]&hostChar == 0 {
			return false
		}
	}
	return true
}

// noteConnection reads a list of connection options, RFC 9110 section 7.6.1.
func (f *framing) noteConnection(value []byte) {
	for len(value) > 0 {
		n := 0
		for n < len(value) && value[n] != ',' {
			n++
		}
		option := trimOWS(value[:n])
		f.close = f.close || equalFold(option, "close")
		f.keepAlive = f.keepAlive || equalFold(option, "keep-alive")
		value = value[min(n+1, len(value)):]
	}
}

// noteLength accepts a repeated field only if it is the same to the byte: "5" and
// "05" are one number to some readers and two values to others.
func (f *framing) noteLength(value []byte) error {
	n, ok := parseDigits(value, math.MaxInt64)
	if !ok {
		return ErrContentLength
	}
	if f.lengthText != nil && !bytes.Equal(f.lengthText, value) {
		return ErrContentLengths
	}
	f.length, f.lengthText = int64(n), value
	return nil
}

// apply judges the header as a whole, RFC 9112 section 6.3, and fills r. First
// comes what puts the framing in doubt, then what is only not supported.
func (f *framing) apply(r *Request, lim *Limits) error {
	switch {
	case f.hosts == 0 && r.Minor == 1:
		return ErrNoHost
	case f.hasCoding && f.lengthText != nil:
		return ErrTwoFramings
	case f.hasCoding && r.Minor == 0:
		return ErrTransferEncoding10
	case f.hasCoding && !equalFold(f.coding, "chunked"):
		return ErrTransferCoding
	case f.length > lim.Body:
		return ErrBodyTooLarge
	case f.badExpect:
		return ErrExpectation
	}
	r.ContentLength = f.length
	r.Chunked = f.hasCoding
	r.KeepAlive = !f.close && (r.Minor == 1 || f.keepAlive)
	// RFC 9110 section 10.1.1: on 1.0 the expectation is to be ignored.
	r.ExpectContinue = f.expect && r.Minor == 1
	return nil
}
