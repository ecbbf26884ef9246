package httpparse

import (
	"errors"
	"strings"
	"testing"
)

// decode decodes a whole body in pieces of the given sizes; the last size is repeated. It
// returns the data, the bytes after the body, and the error: ErrIncomplete if the body
// has not ended.
func decode(d *ChunkDecoder, body string, sizes ...int) (data, rest string, err error) {
	var out strings.Builder
	for len(body) > 0 && !d.Done() {
		size := min(sizes[0], len(body))
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		piece := exact([]byte(body[:size]))
		used := 0
		for !d.Done() {
			run, n, err := d.Next(piece[used:])
			out.Write(run)
			used += n
			if err != nil {
				return out.String(), "", err
			}
			if n == 0 {
				break
			}
		}
		if !d.Done() && used < size {
			return out.String(), "", errors.New("Next stopped before the end of its input")
		}
		clear(piece) // the decoder must not look at it again
		body = body[used:]
	}
	if !d.Done() {
		return out.String(), "", ErrIncomplete
	}
	return out.String(), body, nil
}

var chunkLimits = Limits{Header: 40, Body: 20}

func TestChunked(t *testing.T) {
	for _, c := range []struct {
		why, body, data, rest string
		want                  error
	}{
		{"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", "", nil},
		{"no chunk", "0\r\n\r\n", "", "", nil},
		{"two chunks and the next request", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nGET /", "hello!", "GET /", nil},
		{"hexadecimal sizes in both cases", "a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n", "01234567890123456789", "", nil},
		{"leading zeros up to sixteen digits", "0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x", "", nil},
		{"seventeen digits", "00000000000000001\r\nx\r\n0\r\n\r\n", "", "", ErrChunkSize},
		{"a size over int64", "8000000000000000\r\n", "", "", ErrChunkSize},
		{"a size over uint64 that would wrap", "10000000000000001\r\nx\r\n", "", "", ErrChunkSize},
		{"the largest int64 is only too large", "7fffffffffffffff\r\n", "", "", ErrBodyTooLarge},
		{"a body of just the limit", "14\r\n01234567890123456789\r\n0\r\n\r\n", "01234567890123456789", "", nil},
		{"one byte more", "15\r\n", "", "", ErrBodyTooLarge},
		{"one byte more in a second chunk", "14\r\n01234567890123456789\r\n1\r\nx", "01234567890123456789", "", ErrBodyTooLarge},
		{"no size", "\r\nhello\r\n", "", "", ErrChunkSize},
		{"a sign", "+5\r\nhello\r\n", "", "", ErrChunkSize},
		{"a minus sign", "-5\r\nhello\r\n", "", "", ErrChunkSize},
		{"a C prefix", "0x5\r\nhello\r\n", "", "", ErrChunkSize},
		{"a space before the size", " 5\r\nhello\r\n", "", "", ErrChunkSize},
		{"a space after the size", "5 \r\nhello\r\n", "", "", ErrChunkSize},
		{"an underscore", "1_0\r\n", "", "", ErrChunkSize},
		{"a bare LF after the size", "5\nhello\r\n", "", "", ErrChunkSize},
		{"a bare CR after the size", "5\rhello\r\n", "", "", ErrChunkEnd},
		{"data without its end", "5\r\nhello0\r\n\r\n", "hello", "", ErrChunkEnd},
		{"data with a bare LF as its end", "5\r\nhello\n0\r\n\r\n", "hello", "", ErrChunkEnd},
		{"data with CR and something else", "5\r\nhello\rx", "hello", "", ErrChunkEnd},
		{"data is any bytes", "4\r\n\r\n\x00\xff\r\n0\r\n\r\n", "\r\n\x00\xff", "", nil},
		{"extensions", "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "hello", "", nil},
		{"white space before an extension", "5 ;a\r\nhello\r\n", "", "", ErrChunkSize},
		{"a bare LF in an extension", "5;a\nhello\r\n", "", "", ErrChunkExtension},
		{"a NUL in an extension", "5;a\x00\r\nhello\r\n", "", "", ErrChunkExtension},
		{"a bare CR in an extension", "5;a\rb\r\nhello\r\n", "", "", ErrChunkEnd},
		{"extensions of just the limit", "0;" + strings.Repeat("x", 39) + "\r\n\r\n", "", "", nil},
		{"one byte more", "0;" + strings.Repeat("x", 40) + "\r\n\r\n", "", "", ErrChunkMetaTooLarge},
		{"many chunks with small extensions", strings.Repeat("1;xxxxxxx\r\na\r\n", 6), "aaaaa", "", ErrChunkMetaTooLarge},
		{"trailers", "0\r\nExpires: 0\r\nX:\t\xff\r\n\r\n!", "", "!", nil},
		{"a trailer without a colon", "0\r\nExpires\r\n\r\n", "", "", ErrTrailer},
		{"a trailer without a name", "0\r\n: a\r\n\r\n", "", "", ErrTrailer},
		{"white space before the colon of a trailer", "0\r\na : a\r\n\r\n", "", "", ErrTrailer},
		{"a folded trailer", "0\r\na: a\r\n b\r\n\r\n", "", "", ErrTrailer},
		{"a control character in a trailer", "0\r\na: \x01\r\n\r\n", "", "", ErrTrailer},
		{"a bare LF after a trailer", "0\r\na: a\n\r\n", "", "", ErrTrailer},
		{"a bare CR after a trailer", "0\r\na: a\r\r\n", "", "", ErrChunkEnd},
		{"a bare LF as the end", "0\r\n\n", "", "", ErrTrailer},
		{"CR and something else as the end", "0\r\n\rx", "", "", ErrChunkEnd},
		{"a trailer and an extension over the limit together", "0;" + strings.Repeat("x", 35) + "\r\nab: c\r\n\r\n", "", "", ErrChunkMetaTooLarge},
		{"a size that has not ended", "5", "", "", ErrIncomplete},
		{"data that has not ended", "5\r\nhel", "hel", "", ErrIncomplete},
		{"a last chunk without the end", "0\r\n", "", "", ErrIncomplete},
	} {
		var d ChunkDecoder
		check := func(sizes ...int) {
			d.Reset(&chunkLimits)
			data, rest, err := decode(&d, c.body, sizes...)
			if data != c.data || rest != c.rest || err != c.want {
				t.Errorf("%s, pieces of %v: %q, %q, %v\nwant %q, %q, %v", c.why, sizes, data, rest, err, c.data, c.rest, c.want)
			}
			if _, n, again := d.Next([]byte("5\r\n")); err != nil && err != ErrIncomplete && (n != 0 || again != err) {
				t.Errorf("%s: after the error: %d, %v", c.why, n, again)
			}
		}
		for size := 1; size <= len(c.body); size++ {
			check(size)
			check(size, len(c.body))
		}
	}
}

func TestChunkedAfterTheEnd(t *testing.T) {
	var d ChunkDecoder
	d.Reset(&chunkLimits)
	if _, n, err := d.Next([]byte("0\r\n\r\nmore")); n != 5 || err != nil || !d.Done() {
		t.Fatal(n, err, d.Done())
	}
	if data, n, err := d.Next([]byte("more")); len(data) != 0 || n != 0 || err != nil {
		t.Error(data, n, err)
	}
}
