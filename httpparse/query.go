package httpparse

import (
	"bytes"
	"encoding/binary"
	"math"
)

// NextPair splits the first name=value off q, a query string or form body, and returns
// the rest. A name without '=' has an empty value; empty pairs between two '&' are
// skipped. ok is false at the end of q. Name and value are still escaped: see Plain and
// AppendUnescaped.
func NextPair(q []byte) (name, value, rest []byte, ok bool) {
	for len(q) > 0 && q[0] == '&' {
		q = q[1:]
	}
	if len(q) == 0 {
		return nil, nil, nil, false
	}
	eq := nameEnd(q)
	name = q[:eq:eq]
	if eq == len(q) {
		return name, nil, nil, true
	}
	if q[eq] == '&' {
		return name, nil, q[eq+1:], true
	}
	end := pairEnd(q, eq+1)
	value = q[eq+1 : end : end]
	return name, value, q[min(end+1, len(q)):], true
}

// nameEnd returns the index of the first '=' or '&', or len(q).
func nameEnd(q []byte) int {
	i := 0
	for ; i+8 <= len(q); i += 8 {
		x := binary.LittleEndian.Uint64(q[i:])
		if marks := equal(x, '=') | equal(x, '&'); marks != 0 {
			return i + first(marks)
		}
	}
	for i < len(q) && q[i] != '=' && q[i] != '&' {
		i++
	}
	return i
}

// pairEnd returns the index, at least i, of the first '&', or len(q). Most values are too
// short for bytes.IndexByte to be faster.
func pairEnd(q []byte, i int) int {
	for ; i+8 <= len(q); i += 8 {
		if marks := equal(binary.LittleEndian.Uint64(q[i:]), '&'); marks != 0 {
			return i + first(marks)
		}
	}
	for i < len(q) && q[i] != '&' {
		i++
	}
	return i
}

// Plain reports whether s has no '%', '+' or NUL, so that it needs no unescaping.
func Plain(s []byte) bool {
	if len(s) < 8 {
		for _, c := range s {
			if c == '%' || c == '+' || c == 0 {
				return false
			}
		}
		return true
	}
	for i := 0; ; i += 8 {
		i = min(i, len(s)-8) // the last step may overlap the one before
		x := binary.LittleEndian.Uint64(s[i:])
		if equal(x, '%')|equal(x, '+')|below(x, 1) != 0 {
			return false
		}
		if i == len(s)-8 {
			return true
		}
	}
}

// AppendUnescaped appends s to dst with %XX and '+' decoded. On an error (ErrEscape,
// ErrNUL) it returns dst unchanged.
func AppendUnescaped(dst, s []byte) ([]byte, error) {
	old := dst
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) {
				return old, ErrEscape
			}
			hi, lo := hexDigit[s[i+1]], hexDigit[s[i+2]]
			if hi|lo == notHex {
				return old, ErrEscape
			}
			c = hi<<4 | lo
			i += 2
		}
		if c == 0 {
			return old, ErrNUL
		}
		dst = append(dst, c)
	}
	return dst, nil
}

// ParseInt reads a decimal int64 with an optional '-'. ok is false for a '+', for any
// other non-digit, for an empty b and on overflow.
func ParseInt(b []byte) (v int64, ok bool) {
	if len(b) > 0 && b[0] == '-' {
		n, ok := parseDigits(b[1:], 1<<63)
		return -int64(n), ok
	}
	n, ok := parseDigits(b, math.MaxInt64)
	return int64(n), ok
}

// parseDigits reads a decimal number from 0 to most, without a sign.
func parseDigits(b []byte, most uint64) (v uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if c < '0' || c > '9' || v > (most-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, len(b) > 0
}

// ContentTypeIs reports whether the media type of a Content-Type value is want, which
// must be in lower case. It ignores parameters and ASCII case.
func ContentTypeIs(v []byte, want string) bool { return equalFold(mediaType(v), want) }

// ContentTypeIsJSON reports whether the media type of a Content-Type value is
// application/json or one with the suffix +json (RFC 6839).
func ContentTypeIsJSON(v []byte) bool {
	v = mediaType(v)
	const suffix = "+json"
	return equalFold(v, "application/json") || len(v) > len(suffix) && equalFold(v[len(v)-len(suffix):], suffix)
}

func mediaType(v []byte) []byte {
	if n := bytes.IndexByte(v, ';'); n >= 0 {
		v = v[:n]
	}
	return trimOWS(v)
}

// Charset returns the charset parameter of a Content-Type value without its quotes, nil if
// there is none.
func Charset(v []byte) []byte {
	for more := true; more; {
		var parameter []byte
		parameter, v, more = bytes.Cut(v, []byte(";"))
		if name, value, ok := bytes.Cut(parameter, []byte("=")); ok && equalFold(trimOWS(name), "charset") {
			return bytes.Trim(trimOWS(value), `"`)
		}
	}
	return nil
}

// TokenIs reports whether v is the token want, which must be in lower case. It ignores
// ASCII case.
func TokenIs(v []byte, want string) bool { return equalFold(v, want) }

// IsTokenList reports whether v is a list of tokens with commas and white space between
// them, and not empty.
func IsTokenList(v []byte) bool {
	for _, c := range v {
		if class[c]&tokenChar == 0 && c != ',' && !isOWS(c) {
			return false
		}
	}
	return len(v) > 0
}
