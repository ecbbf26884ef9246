package wsframe

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// unmask removes the mask from b, eight bytes at a time, and returns it rotated for the
// byte that follows (RFC 6455 section 5.3).
func unmask(b []byte, mask uint32) uint32 {
	m := uint64(mask)<<32 | uint64(mask)
	for len(b) >= 32 {
		p := (*[32]byte)(b)
		binary.LittleEndian.PutUint64(p[0:], binary.LittleEndian.Uint64(p[0:])^m)
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^m)
		binary.LittleEndian.PutUint64(p[16:], binary.LittleEndian.Uint64(p[16:])^m)
		binary.LittleEndian.PutUint64(p[24:], binary.LittleEndian.Uint64(p[24:])^m)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^m)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(mask)
		mask = bits.RotateLeft32(mask, -8)
	}
	return mask
}

// validText reports whether b is UTF-8, or, if it is not whole, can be its beginning: what
// no further byte can mend is found at once.
func validText(b []byte, whole bool) bool {
	if !whole {
		b = b[:len(b)-partialRune(b)]
	}
	return utf8.Valid(b)
}

// partialRune returns how many bytes at the end of b, 0 to 3, begin a character and do not
// end it.
func partialRune(b []byte) int {
	for k := 1; k < utf8.UTFMax && k <= len(b); k++ {
		if tail := b[len(b)-k:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) { // a wrong one counts as full
				return 0
			}
			return k
		}
	}
	return 0
}
