//go:build linux

package protocol

import "hash/crc32"

// A message's content carries what is needed to check it, and when it was sent:
//
//	TIME.CHANNEL.NUMBER.CRC.filler
//
// TIME is 16 hex digits (nanoseconds of CLOCK_MONOTONIC), CHANNEL and NUMBER are 8, CRC
// is the CRC-32C of the bytes before it, and the filler is text that depends on
// the number, up to the wanted size. All of it is safe in a URL and in a JSON
// string without escapes, so the bytes that arrive must equal those that were sent.
const (
	contentHead   = 16 + 1 + 8 + 1 + 8 + 1 + 8 + 1
	contentSummed = 16 + 1 + 8 + 1 + 8
	fillerStep    = 61 // the filler of message n starts at n % fillerStep
)

// BroadcastChannel is the CHANNEL in the content of a broadcast.
const BroadcastChannel = 0xffffffff

// MinSize and MaxSize bound the size of a content, in bytes. MaxSize leaves room for the rest of a
// request within the server's default body limit of 1 MiB.
const (
	MinSize = contentHead
	MaxSize = 1<<20 - 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Contents makes and checks contents of one size. It is not changed after NewContents, so
// any goroutine may use it.
type Contents struct {
	size   int
	filler string
}

// NewContents returns the contents of size bytes, MinSize to MaxSize.
func NewContents(size int) Contents {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, size+fillerStep)
	for i, x := 0, uint32(1); i < len(b); i++ {
		x = x*1664525 + 1013904223
		b[i] = alphabet[(x>>16)%uint32(len(alphabet))]
	}
	return Contents{size: size, filler: string(b)}
}

func (c Contents) tail(number uint32) string {
	from := int(number % fillerStep)
	return c.filler[from : from+c.size-contentHead]
}

// append adds the content of a channel's message number, sent at time at.
func (c Contents) append(b []byte, at int64, channel, number uint32) []byte {
	start := len(b)
	b = append(appendHex(b, uint64(at), 16), '.')
	b = append(appendHex(b, uint64(channel), 8), '.')
	b = appendHex(b, uint64(number), 8)
	sum := crc32.Checksum(b[start:], castagnoli)
	b = append(b, '.')
	b = append(appendHex(b, uint64(sum), 8), '.')
	return append(b, c.tail(number)...)
}

// Read takes a content apart: when it was sent (nanoseconds), on which channel, as which
// message. ok is false when any byte differs from what append makes.
func (c Contents) Read(b []byte) (at int64, channel, number uint32, ok bool) {
	if len(b) != c.size || b[16] != '.' || b[25] != '.' || b[34] != '.' || b[43] != '.' {
		return 0, 0, 0, false
	}
	t, ok1 := readHex(b[:16])
	ch, ok2 := readHex(b[17:25])
	n, ok3 := readHex(b[26:34])
	sum, ok4 := readHex(b[35:43])
	at, channel, number = int64(t), uint32(ch), uint32(n)
	ok = ok1 && ok2 && ok3 && ok4 &&
		uint32(sum) == crc32.Checksum(b[:contentSummed], castagnoli) &&
		string(b[contentHead:]) == c.tail(number)
	return at, channel, number, ok
}

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, v uint64, digits int) []byte {
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[v>>shift&15])
	}
	return b
}

// hexValue maps a lower-case hex digit to its value, anything else to 255.
var hexValue = func() (t [256]uint8) {
	for i := range t {
		t[i] = 255
	}
	for i := range hexDigits {
		t[hexDigits[i]] = uint8(i)
	}
	return t
}()

func readHex(b []byte) (v uint64, ok bool) {
	var bad uint8
	for _, c := range b {
		d := hexValue[c]
		bad |= d
		v = v<<4 | uint64(d&15)
	}
	return v, bad < 16
}
