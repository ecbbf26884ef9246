package httpparse

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

type jsonState uint8

const (
	jsonStart jsonState = iota
	jsonMember
	jsonEnd
)

// JSONMembers reads one flat JSON object (RFC 8259) of strings and numbers, with Nulls also of
// nulls, whose Value is nil.
//
//	m.Init(body, scratch[:0])
//	for m.Next() {
//		use(m.Name, m.Value)
//	}
//	scratch, err = m.Scratch(), m.Err()
//
// A string without escapes is a slice of the body; one with escapes is decoded to the
// end of the scratch space. Earlier members stay valid: the scratch space is only
// appended to, and when it grows, they keep the old array.
//
// Bytes that are not UTF-8 are kept as they are, an escaped lone surrogate becomes
// U+FFFD, and a number keeps its text.
type JSONMembers struct {
	Name, Value []byte
	Nulls       bool

	b       []byte
	i       int
	state   jsonState
	scratch []byte
	err     error
}

// Init starts to read b. Decoded strings are appended to scratch.
func (m *JSONMembers) Init(b, scratch []byte) {
	*m = JSONMembers{b: b, scratch: scratch}
}

// Err is the *Error that ended the reading, or nil.
func (m *JSONMembers) Err() error { return m.err }

// Scratch returns the scratch space, which may have grown, for the next Init.
func (m *JSONMembers) Scratch() []byte { return m.scratch }

// Next reads the next member into Name and Value. It returns false at the end and on an
// error.
func (m *JSONMembers) Next() bool {
	if m.err == nil {
		var more bool
		if more, m.err = m.member(); more && m.err == nil {
			return true
		}
	}
	m.Name, m.Value = nil, nil
	return false
}

// open reads '{' and the first name's quote, or the end of an empty object.
func (m *JSONMembers) open() (more bool, err error) {
	if m.token() != '{' {
		return false, ErrJSONObject
	}
	m.i++
	m.state = jsonMember
	if m.token() == '}' {
		return false, m.end()
	}
	return true, nil
}

// comma goes on to the next member, or to the end of the object.
func (m *JSONMembers) comma() (more bool, err error) {
	switch m.token() {
	case '}':
		return false, m.end()
	case ',':
		m.i++
		return true, nil
	}
	return false, ErrJSONObject
}

// end reads the '}' and checks that only white space follows.
func (m *JSONMembers) end() error {
	m.i++
	m.state = jsonEnd
	if m.token(); m.i < len(m.b) {
		return ErrJSONObject
	}
	return nil
}

// member reads one name : value; more is false at the end of the object.
func (m *JSONMembers) member() (more bool, err error) {
	switch m.state {
	case jsonStart:
		more, err = m.open()
	case jsonMember:
		more, err = m.comma()
	}
	if !more || err != nil {
		return false, err
	}
	if m.token() != '"' {
		return false, ErrJSONObject
	}
	if m.Name, err = m.string(); err != nil {
		return false, err
	}
	if m.token() != ':' {
		return false, ErrJSONObject
	}
	m.i++
	switch c := m.token(); {
	case c == '"':
		m.Value, err = m.string()
	case c == '-' || '0' <= c && c <= '9':
		m.Value, err = m.number()
	case m.Nulls && bytes.HasPrefix(m.b[m.i:], null):
		m.Value = nil
		m.i += len(null)
	default:
		err = ErrJSONValue
	}
	return err == nil, err
}

var null = []byte("null")

// token skips white space and returns the byte there, 0 at the end.
func (m *JSONMembers) token() byte {
	for ; m.i < len(m.b); m.i++ {
		switch c := m.b[m.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// number reads a number in the grammar of RFC 8259 section 6.
func (m *JSONMembers) number() ([]byte, error) {
	b, i := m.b, m.i
	if b[i] == '-' {
		i++
	}
	var ok bool
	if i < len(b) && b[i] == '0' {
		i++
	} else if i, ok = digitsEnd(b, i); !ok {
		return nil, ErrJSONNumber
	}
	if i < len(b) && b[i] == '.' {
		if i, ok = digitsEnd(b, i+1); !ok {
			return nil, ErrJSONNumber
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i, ok = digitsEnd(b, i); !ok {
			return nil, ErrJSONNumber
		}
	}
	value := b[m.i:i:i]
	m.i = i
	return value, nil
}

// digitsEnd returns the index after the digits at i; ok is false if there are none.
func digitsEnd(b []byte, i int) (end int, ok bool) {
	end = i
	for end < len(b) && '0' <= b[end] && b[end] <= '9' {
		end++
	}
	return end, end > i
}

// string reads the string whose opening quote is at m.i.
func (m *JSONMembers) string() ([]byte, error) {
	start := m.i + 1
	i := plainEnd(m.b, start)
	if i < len(m.b) && m.b[i] == '"' {
		m.i = i + 1
		return m.b[start:i:i], nil
	}
	from := len(m.scratch)
	for i < len(m.b) && m.b[i] == '\\' {
		m.scratch = append(m.scratch, m.b[start:i]...)
		r, n := Unescape(m.b[i:])
		if n == 0 {
			return nil, ErrJSONString
		}
		if r == 0 {
			return nil, ErrNUL
		}
		m.scratch = utf8.AppendRune(m.scratch, r)
		start = i + n
		i = plainEnd(m.b, start)
	}
	if i == len(m.b) || m.b[i] != '"' {
		return nil, ErrJSONString
	}
	m.scratch = append(m.scratch, m.b[start:i]...)
	m.i = i + 1
	return m.scratch[from:len(m.scratch):len(m.scratch)], nil
}

// plainEnd returns the index of the first byte from i on that is a quote, a
// backslash or a control character, or len(b).
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if marks := below(x, 0x20) | equal(x, '"') | equal(x, '\\'); marks != 0 {
			return i + first(marks)
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// Unescape decodes the escape at the start of b and returns its length, 0 if it is
// invalid. A pair of surrogates is one escape (RFC 8259 section 7); one without its other
// half is U+FFFD.
func Unescape[T string | []byte](b T) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads \uXXXX from the start of b.
func hex4[T string | []byte](b T) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for i := 2; i < 6; i++ {
		v := hexDigit[b[i]]
		if v == notHex {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// ValidJSONString reports whether b, between quotes, is exactly one JSON string (RFC
// 8259) in valid UTF-8, so that it may be sent as it is. An escaped lone surrogate is
// allowed: the grammar permits it.
func ValidJSONString(b []byte) bool {
	for i := plainEnd(b, 0); i < len(b); i = plainEnd(b, i) {
		if b[i] != '\\' {
			return false
		}
		_, n := Unescape(b[i:])
		if n == 0 {
			return false
		}
		i += n
	}
	return utf8.Valid(b)
}
