package httpparse

import (
	"bytes"
	"encoding/binary"
	"math"
)

// parseHeader reads the fields from b[i:], after the request line, up to the empty line,
// and sets what the framing of the request depends on.
func parseHeader(r *Request, b []byte, i int, lim *Limits) error {
	short := ErrIncomplete
	if len(b)-i >= lim.Header {
		// Bytes beyond the limit must not change the result.
		b, short = b[:i+lim.Header], ErrHeaderTooLarge
	}
	var f framing
	var err error
	r.Fields, r.HeadLen, err = parseFields(r.Fields[:0], b, i, &f, lim.Fields)
	if err != nil {
		return orShort(err, short)
	}
	return f.apply(r, lim)
}

// parseFields appends the fields from b[i:] to fields and passes each to f. It returns
// the index after the empty line.
func parseFields(fields []Field, b []byte, i int, f *framing, most int) ([]Field, int, error) {
	for {
		start := i
		for i < len(b) && class[b[i]]&tokenChar != 0 {
			i++
		}
		if i == len(b) {
			return fields, i, ErrIncomplete
		}
		if b[i] != ':' || i == start {
			if i > start {
				return fields, i, ErrFieldName
			}
			return fields, i + 2, checkEmptyLine(b[i:])
		}
		name := b[start:i:i]
		i++
		for i < len(b) && isOWS(b[i]) {
			i++
		}
		start = i
		i = valueEnd(b, i)
		if err := checkLineEnd(b[i:]); err != nil {
			return fields, i, err
		}
		end := i
		for end > start && isOWS(b[end-1]) {
			end--
		}
		value := b[start:end:end]
		i += 2
		if len(fields) >= most {
			return fields, i, ErrTooManyFields
		}
		fields = append(fields, Field{name, value})
		if err := f.note(name, value); err != nil {
			return fields, i, err
		}
	}
}

// checkLineEnd checks that b, which follows a field value, starts with CRLF: nil,
// ErrIncomplete, or what is wrong.
func checkLineEnd(b []byte) error {
	switch {
	case len(b) >= 2 && b[0] == '\r' && b[1] == '\n':
		return nil
	case len(b) == 0 || len(b) == 1 && b[0] == '\r':
		return ErrIncomplete
	case b[0] == '\r' || b[0] == '\n':
		return ErrLineEnd
	}
	return ErrFieldValue
}

// checkEmptyLine does the same where a field name should be and is not.
func checkEmptyLine(b []byte) error {
	switch err := checkLineEnd(b); {
	case err != ErrFieldValue:
		return err
	case isOWS(b[0]):
		return ErrFieldFold // RFC 9112 section 5.2
	}
	return ErrFieldName
}

// valueEnd returns the index, at least i, of the first byte that is not allowed in a
// field value (RFC 9110 section 5.5), or len(b).
func valueEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		marks := unprintable(x, 0x20)
		if marks == 0 {
			continue
		}
		// A tab is allowed, but so rare that it may leave the eight-byte steps.
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

// framing collects the fields that decide where the request ends and whether the
// connection stays open.
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

// note reads one field. Its errors depend only on this field and those before it; apply
// checks what depends on the whole header.
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

// noteHost refuses a second Host, or one that cannot be a host (RFC 9112 section 3.2). An
// empty one is allowed: the RFC asks for it when the target has no authority.
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

// validHost allows the characters of RFC 3986 section 3.2.2 except the comma, which could
// make two readers see two different hosts.
func validHost(h []byte) bool {
	for _, c := range h {
		if class[c]&hostChar == 0 {
			return false
		}
	}
	return true
}

var comma = []byte(",")

// noteConnection reads a list of connection options, RFC 9110 section 7.6.1.
func (f *framing) noteConnection(value []byte) {
	for more := true; more; {
		var option []byte
		option, value, more = bytes.Cut(value, comma)
		option = trimOWS(option)
		f.close = f.close || equalFold(option, "close")
		f.keepAlive = f.keepAlive || equalFold(option, "keep-alive")
	}
}

// noteLength accepts a repeated field only if it has the same bytes: "5" and "05" are one
// number to some readers and two values to others.
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

// apply checks the header as a whole (RFC 9112 section 6.3) and fills r. Errors about the
// framing come before those about what is only not supported.
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
	// RFC 9110 section 10.1.1: an HTTP/1.0 expectation must be ignored.
	r.ExpectContinue = f.expect && r.Minor == 1
	return nil
}
