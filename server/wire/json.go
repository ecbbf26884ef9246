package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"icomet/httpparse"
)

// needsEscape marks the bytes that cannot stand in a JSON string as they are,
// and those that may begin something to look at (0x80 and above).
var needsEscape = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return t
}()

// AppendJSON appends raw bytes as the body of a JSON string, without quotes.
// Each byte that is not part of valid UTF-8 becomes one U+FFFD. The line ends of Unicode
// are escaped, so that a message is one line also to readers that split there.
func AppendJSON(dst, raw []byte) []byte {
	start := 0
	for i := 0; i < len(raw); {
		if i = plainEnd(raw, i); i == len(raw) {
			break
		}
		c := raw[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(raw[i:])
			if escape := lineEnds(r); escape != "" {
				dst = append(append(dst, raw[start:i]...), escape...)
				i += size
				start = i
				continue
			}
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(append(dst, raw[start:i]...), "\uFFFD"...)
		} else {
			dst = appendEscaped(append(dst, raw[start:i]...), c)
		}
		i++
		start = i
	}
	return append(dst, raw[start:]...)
}

// lineEnds is the escape of a character beyond ASCII that ends a line in Unicode, "" for
// any other.
func lineEnds(r rune) string {
	switch r {
	case 0x85:
		return `\u0085`
	case 0x2028:
		return `\u2028`
	case 0x2029:
		return `\u2029`
	}
	return ""
}

// AppendReadable appends a valid body of a JSON string in a form that every reader takes:
// with U+FFFD for an escaped surrogate that has no other half, which is no character and
// which strict readers refuse, and with the line ends of Unicode escaped.
func AppendReadable(dst, body []byte) []byte {
	start := 0
	replace := func(from, to int, with string) {
		dst = append(append(dst, body[start:from]...), with...)
		start = to
	}
	for i := 0; i < len(body); {
		switch c := body[i]; {
		case c == '\\' && body[i+1] == 'u':
			switch half := surrogate(body[i:]); {
			case half == highSurrogate && surrogate(body[i+6:]) == lowSurrogate:
				i += 6 // the pair is one character
			case half != noSurrogate:
				replace(i, i+6, `\ufffd`)
			}
			i += 6
		case c == '\\':
			i += 2
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(body[i:])
			if escape := lineEnds(r); escape != "" {
				replace(i, i+size, escape)
			}
			i += size
		default:
			i = plainEnd(body, i+1)
		}
	}
	return append(dst, body[start:]...)
}

const (
	noSurrogate = iota
	highSurrogate
	lowSurrogate
)

// surrogate says which half of a pair the escape at the start of b is: \uD800 to \uDBFF,
// \uDC00 to \uDFFF.
func surrogate(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' || b[2]|0x20 != 'd' {
		return noSurrogate
	}
	switch c := b[3] | 0x20; {
	case c == '8' || c == '9' || c == 'a' || c == 'b':
		return highSurrogate
	case c >= 'c' && c <= 'f':
		return lowSurrogate
	}
	return noSurrogate
}

// plainEnd is the index of the first byte from i on that needs a look, or len(raw).
// Eight bytes at a time: a byte below 0x20, a quote or a backslash borrows from, and
// a byte of 0x80 and above has, its highest bit.
func plainEnd(raw []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(raw); i += 8 {
		x := binary.LittleEndian.Uint64(raw[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		if (x|(x-ones*0x20)|(quote-ones)|(slash-ones))&tops != 0 {
			break
		}
	}
	for i < len(raw) && !needsEscape[raw[i]] {
		i++
	}
	return i
}

const hexDigits = "0123456789abcdef"

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendScriptSafe appends an encoded JSON string body so that no byte of it can
// end a script element: '<' as an escape. U+2028 and U+2029, which end a JavaScript string,
// are escaped in every body.
func appendScriptSafe[T string | []byte](dst []byte, body T) []byte {
	start := 0
	for i := 0; i < len(body); i++ {
		if body[i] == '<' {
			dst = append(append(dst, body[start:i]...), `\u003c`...)
			start = i + 1
		}
	}
	return append(dst, body[start:]...)
}

// appendDecoded appends the text of which body is the JSON string body, with each line end
// in it (CR LF, CR or LF) as lineEnd, or with "" as it is.
func appendDecoded(dst []byte, body, lineEnd string) []byte {
	afterCR := false
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			end := i + 1
			for end < len(body) && body[end] != '\\' {
				end++
			}
			dst = append(dst, body[i:end]...)
			i, afterCR = end, false
			continue
		}
		r, size := httpparse.Unescape(body[i:])
		i += size
		switch {
		case lineEnd == "" || r != '\r' && r != '\n':
			dst = utf8.AppendRune(dst, r)
		case r == '\n' && afterCR:
		default:
			dst = append(dst, lineEnd...)
		}
		afterCR = r == '\r'
	}
	return dst
}
