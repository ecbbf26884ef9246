package deflate

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Least is the size in bytes from which on a message is worth compressing.
const Least = 512

// level trades size for speed: a message is compressed while its subscribers wait.
const level = 2

// Errors of AppendInflated.
var (
	ErrTooLarge = errors.New("the inflated message is too large")
	ErrData     = errors.New("the compressed message is broken")
)

// compressor is a writer that appends to its own slice.
type compressor struct {
	w   *flate.Writer
	out []byte
}

func (c *compressor) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

var compressors = sync.Pool{New: func() any {
	c := new(compressor)
	c.w, _ = flate.NewWriter(c, level) // the level is valid
	return c
}}

// marker ends what a flush writes; it is left out on the wire (RFC 7692 section 7.2.1).
const marker = 4

// Append appends the compressed form of text, as the payload of one message.
func Append(dst, text []byte) []byte {
	c := compressors.Get().(*compressor)
	c.out = dst
	c.w.Reset(c)
	_, _ = c.w.Write(text) // to memory
	_ = c.w.Flush()
	dst = c.out[:len(c.out)-marker]
	c.out = nil
	compressors.Put(c)
	return dst
}

// tail is the marker that was left out, and an empty last block, so that the reader ends.
var tail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// AppendInflated appends the text of which data is the payload of a compressed message. A
// text over limit bytes is not inflated further. Errors: ErrTooLarge, ErrData.
func AppendInflated(dst, data []byte, limit int) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(data), bytes.NewReader(tail)), nil); err != nil {
		return dst, ErrData
	}
	out := bytes.NewBuffer(dst)
	n, err := io.Copy(out, io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return dst, ErrData
	case n > int64(limit):
		return dst, ErrTooLarge
	}
	return out.Bytes(), nil
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
