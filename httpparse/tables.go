package httpparse

import "math/bits"

// Classes of bytes, one bit each.
const (
	tokenChar = 1 << iota // RFC 9110 section 5.6.2
	hostChar              // allowed in a Host value: see validHost
)

var class = func() (t [256]uint8) {
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []byte("!$%&'()*+-.:;=[]_~" + alphanumeric) {
		t[c] |= hostChar
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~" + alphanumeric) {
		t[c] |= tokenChar
	}
	return t
}()

const notHex = 0xff

// hexDigit is the value of a hexadecimal digit, or notHex.
var hexDigit = func() (t [256]uint8) {
	for c := range t {
		t[c] = notHex
	}
	for i := range 16 {
		t["0123456789abcdef"[i]] = uint8(i)
		t["0123456789ABCDEF"[i]] = uint8(i)
	}
	return t
}()

// Eight bytes at a time: each of these functions marks bytes of a little-endian word by
// their top bit. A subtraction may borrow from the bytes above a marked one, so only the
// lowest mark is reliable. Marks of several functions may be combined with |, because the
// lowest of reliable lowest marks is reliable.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// below marks bytes less than c, for c up to 0x80.
func below(x uint64, c byte) uint64 { return (x - ones*uint64(c)) & ^x & tops }

// unprintable marks bytes less than c, and DEL.
func unprintable(x uint64, c byte) uint64 {
	return ((x - ones*uint64(c)) | (x&^tops + ones)) &^ x & tops
}

// equal marks bytes equal to c, for c below 0x80.
func equal(x uint64, c byte) uint64 { return below(x^ones*uint64(c), 1) }

// first is the index of the byte with the lowest mark.
func first(marks uint64) int { return bits.TrailingZeros64(marks) >> 3 }

// equalFold reports whether b equals lower, ignoring ASCII case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trimOWS removes optional white space (RFC 9110 section 5.6.3) from both ends.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && isOWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isOWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }
