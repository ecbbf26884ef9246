package httpparse

import (
	"bytes"
	"encoding/binary"
)

// maxMethod bounds the method, so that a client cannot make every call read a long one
// again. RFC 9112 section 3 wants 501 for a method longer than any known one.
const maxMethod = 32

// Parse reads one request head from the start of b into r. It returns nil (a whole head),
// ErrIncomplete (call again with more bytes), or an *Error (answer with its status and
// close the connection, because it is not certain where the request ends).
//
// seen is the length of b in an earlier call that returned ErrIncomplete, 0 at first.
// Then Parse reads only the new bytes, except for one bytes.IndexByte over the request
// line, so that a head that arrives byte by byte is not parsed again for each byte.
//
// The result depends only on the bytes, not on how they arrive in pieces: if a beginning
// is refused, everything that begins with it is refused with the same Error. Without
// seen, an error may be found earlier. Limits are checked while the bytes arrive: the
// caller never has to buffer more than Limits.RequestLine + Limits.Header + a few bytes.
//
// One CRLF before the request line is skipped (RFC 9112 section 2.2): some clients send it
// behind the body of the request before. HeadLen counts it.
func Parse(r *Request, b []byte, seen int, lim *Limits) error {
	if len(b) == 0 || b[0] != '\r' {
		return parseHead(r, b, seen, lim)
	}
	if len(b) == 1 {
		return ErrIncomplete
	}
	if b[1] != '\n' {
		return ErrBadRequestLine
	}
	err := parseHead(r, b[2:], max(seen-2, 0), lim)
	if err == nil {
		r.HeadLen += 2
	}
	return err
}

// Begun reports whether b, for which Parse has returned ErrIncomplete, has more in it than
// the line end that is skipped.
func Begun(b []byte) bool { return len(b) > 2 || len(b) > 0 && b[0] != '\r' }

// parseHead is Parse without the line end before.
func parseHead(r *Request, b []byte, seen int, lim *Limits) error {
	if seen > 0 {
		if end := bytes.IndexByte(b[:seen], '\n') + 1; end > 0 {
			if len(b)-end < lim.Header && !hasEmptyLine(b, seen) {
				return ErrIncomplete
			}
			seen = 0
		}
	}
	n, err := parseRequestLine(r, b, seen, lim)
	if err != nil {
		return err
	}
	return parseHeader(r, b, n, lim)
}

// hasEmptyLine reports whether an LF at index from or later ends an empty line. A bare LF
// counts, so that parsing refuses it at once instead of waiting for a CRLF that may never
// come.
func hasEmptyLine(b []byte, from int) bool {
	for {
		k := bytes.IndexByte(b[from:], '\n')
		if k < 0 {
			return false
		}
		from += k + 1
		if line := b[:from-1]; bytes.HasSuffix(line, lf) || bytes.HasSuffix(line, lfcr) {
			return true
		}
	}
}

var lf, lfcr = []byte("\n"), []byte("\n\r")

// parseRequestLine reads the request line and returns its length with CRLF. It refuses at
// the first byte that is not allowed, so that a TLS handshake or a stray client is
// answered without waiting for a line end. The line must not be complete in b[:seen].
func parseRequestLine(r *Request, b []byte, seen int, lim *Limits) (int, error) {
	short := ErrIncomplete
	if len(b)-2 >= lim.RequestLine {
		// Bytes beyond the limit must not change the result.
		b, short = b[:lim.RequestLine+2], ErrRequestLineTooLong
		seen = min(seen, len(b)) // the limit may have been lowered between two calls
	}
	m, start, err := parseMethod(b)
	if err != nil || start == len(b) {
		return 0, orShort(err, short)
	}
	if b[start] != '/' {
		if err := checkTargetStart(m, b[start:]); err != nil {
			return 0, err
		}
	}
	// While the line is incomplete, at most len("HTTP/1.1\r") bytes follow the target, so
	// its end can only be in the last ten of the bytes seen.
	end := targetEnd(b, max(start, seen-10))
	if end == len(b) {
		return 0, short
	}
	switch b[end] {
	case ' ':
	case '#':
		return 0, ErrFragment
	default:
		return 0, ErrBadRequestLine
	}
	v := b[end+1:]
	if len(v) >= 10 && binary.LittleEndian.Uint64(v) == http11 && v[8] == '\r' && v[9] == '\n' {
		r.Minor = 1
	} else if r.Minor, err = parseVersion(v); err != nil {
		return 0, orShort(err, short)
	}
	r.Method = m
	if err := splitTarget(r, b[start:end]); err != nil {
		return 0, err
	}
	return end + 1 + 10, nil
}

// orShort returns err, but short if the bytes have only run out.
func orShort(err, short error) error {
	if err == nil || err == ErrIncomplete {
		return short
	}
	return err
}

var http11 = binary.LittleEndian.Uint64([]byte("HTTP/1.1"))

const (
	getSP = 'G' | 'E'<<8 | 'T'<<16 | ' '<<24
	post  = 'P' | 'O'<<8 | 'S'<<16 | 'T'<<24
)

// parseMethod returns the method and where the target starts.
func parseMethod(b []byte) (m Method, start int, err error) {
	if len(b) > 4 {
		switch binary.LittleEndian.Uint32(b) {
		case getSP:
			return GET, 4, nil
		case post:
			if b[4] == ' ' {
				return POST, 5, nil
			}
		}
	}
	i := 0
	for i < len(b) && class[b[i]]&tokenChar != 0 {
		i++
		if i > maxMethod {
			return 0, 0, ErrLongMethod
		}
	}
	if i == len(b) {
		return 0, 0, ErrIncomplete
	}
	if b[i] != ' ' || i == 0 {
		return 0, 0, ErrBadRequestLine
	}
	for m := GET; m <= CONNECT; m++ {
		if string(b[:i]) == methodNames[m] {
			return m, i + 1, nil
		}
	}
	return MethodUnknown, i + 1, nil
}

// checkTargetStart refuses a target, perhaps incomplete, that begins neither with '/' nor
// with one of the other forms of RFC 9112 section 3.2.
func checkTargetStart(m Method, t []byte) error {
	switch {
	case targetEnd(t[:1], 0) == 0:
		return ErrBadRequestLine
	case m == CONNECT:
		return nil
	case t[0] == '*' && m == OPTIONS:
		if len(t) > 1 && t[1] != ' ' {
			return ErrBadTarget
		}
		return nil
	}
	for _, scheme := range [...]string{"http://", "https://"} {
		n := min(len(t), len(scheme))
		if equalFold(t[:n], scheme[:n]) {
			return nil
		}
	}
	return ErrBadTarget
}

// targetEnd returns the index, at least i, of the first byte that is not allowed in a
// request target, or len(b). RFC 3986 allows fewer characters, but browsers and older
// clients send UTF-8 and characters such as '|' unescaped. None of them can make two
// readers disagree on where the target ends. A '#' is not allowed: what is behind it is for
// the client alone, and readers disagree on whether it belongs to the query.
func targetEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if marks := unprintable(x, 0x21) | equal(x, '#'); marks != 0 {
			return i + first(marks)
		}
	}
	for i < len(b) && b[i] > 0x20 && b[i] != 0x7f && b[i] != '#' {
		i++
	}
	return i
}

// parseVersion reads HTTP/d.d CRLF from the start of v. It is for all cases but the
// common one.
func parseVersion(v []byte) (minor uint8, err error) {
	const form = "HTTP/d.d\r\n"
	for i := range form {
		switch {
		case i == len(v):
			return 0, ErrIncomplete
		case form[i] == 'd':
			if v[i] < '0' || v[i] > '9' {
				return 0, ErrBadRequestLine
			}
		case v[i] != form[i]:
			return 0, ErrBadRequestLine
		}
	}
	if v[5] != '1' || v[7] > '1' {
		return 0, ErrVersion
	}
	return v[7] - '0', nil
}

var slash = []byte("/")

// splitTarget sets Path, Query and Authority. t is not empty and has passed
// checkTargetStart.
func splitTarget(r *Request, t []byte) error {
	r.Query, r.Authority = nil, nil
	if t[0] != '/' {
		if r.Method == CONNECT || t[0] == '*' {
			r.Path = t
			return nil
		}
		// absolute-form. RFC 9110 section 4.2.4: user information before an '@' has to be
		// treated as an attempt to deceive; validHost refuses it.
		t = t[bytes.IndexByte(t, '/')+2:]
		n := 0
		for n < len(t) && t[n] != '/' && t[n] != '?' {
			n++
		}
		if n == 0 || !validHost(t[:n]) {
			return ErrBadTarget
		}
		r.Authority = t[:n:n]
		if t = t[n:]; len(t) == 0 || t[0] == '?' {
			r.Path = slash
			if len(t) > 0 {
				r.Query = t[1:]
			}
			return nil
		}
	}
	r.Path = t
	if q := bytes.IndexByte(t, '?'); q >= 0 {
		r.Path, r.Query = t[:q:q], t[q+1:]
	}
	return nil
}
