package httpparse

import "math"

// maxSizeDigits bounds the digits of a chunk size; otherwise leading zeros could go on
// for ever.
const maxSizeDigits = 16

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	endLF
	chunkDone
)

// ChunkDecoder decodes a chunked body (RFC 9112 section 7.1) as it arrives, in pieces of
// any size. It keeps no slice of the input. Extensions and trailers are checked, counted
// together against Limits.Header, and dropped. So a body of n bytes is at most about 21n
// + Limits.Header bytes on the wire. Call Reset before the first use.
type ChunkDecoder struct {
	state    chunkState
	last     bool  // the present chunk has the size zero
	digits   uint8 // read so far of the size
	size     uint64
	left     int64 // data bytes left in this chunk
	bodyLeft int64
	metaLeft int
	err      error
}

// Reset prepares d for a new body.
func (d *ChunkDecoder) Reset(lim *Limits) {
	*d = ChunkDecoder{bodyLeft: lim.Body, metaLeft: lim.Header}
}

// Done reports whether the body, with its trailers, has ended.
func (d *ChunkDecoder) Done() bool { return d.state == chunkDone }

// Next reads from b and returns one run of body bytes (a slice of b, maybe empty) and how
// many bytes of b it has read. Call it again with the rest until n is 0 or Done is true.
// An error is one of the "refusals of a chunked body"; it is final.
func (d *ChunkDecoder) Next(b []byte) (data []byte, n int, err error) {
	if d.err != nil {
		return nil, 0, d.err
	}
	for n < len(b) && d.state != chunkDone {
		if d.state == chunkData {
			k := int(min(d.left, int64(len(b)-n)))
			d.left -= int64(k)
			if d.left == 0 {
				d.state = chunkDataCR
			}
			return b[n : n+k : n+k], n + k, nil
		}
		if err := d.step(b[n]); err != nil {
			d.err = err
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

// step reads one byte that is not data.
func (d *ChunkDecoder) step(c byte) error {
	switch d.state {
	case chunkSize:
		return d.sizeByte(c)
	case chunkExtension:
		if c == '\r' {
			d.state = chunkSizeLF
			return nil
		}
		return d.meta(c, ErrChunkExtension)
	case chunkSizeLF:
		d.state = chunkData
		if d.last {
			d.state = trailerStart
		}
		return expect(c, '\n')
	case chunkDataCR:
		d.state = chunkDataLF
		return expect(c, '\r')
	case chunkDataLF:
		d.state = chunkSize
		return expect(c, '\n')
	case endLF:
		d.state = chunkDone
		return expect(c, '\n')
	}
	return d.trailerByte(c)
}

func expect(c, want byte) error {
	if c != want {
		return ErrChunkEnd
	}
	return nil
}

// meta counts a byte of an extension or a trailer, and refuses control characters.
func (d *ChunkDecoder) meta(c byte, bad error) error {
	if c < 0x20 && c != '\t' || c == 0x7f {
		return bad
	}
	if d.metaLeft--; d.metaLeft < 0 {
		return ErrChunkMetaTooLarge
	}
	return nil
}

// sizeByte reads a byte of the size, or the byte that ends it.
func (d *ChunkDecoder) sizeByte(c byte) error {
	if v := hexDigit[c]; v != notHex {
		if d.digits == maxSizeDigits {
			return ErrChunkSize
		}
		d.digits++
		d.size = d.size<<4 | uint64(v)
		return nil
	}
	if d.digits == 0 || c != '\r' && c != ';' || d.size > math.MaxInt64 {
		return ErrChunkSize
	}
	d.left = int64(d.size)
	if d.left > d.bodyLeft {
		return ErrBodyTooLarge
	}
	d.bodyLeft -= d.left
	d.last = d.left == 0
	d.digits, d.size = 0, 0
	if c == '\r' {
		d.state = chunkSizeLF
		return nil
	}
	d.state = chunkExtension
	return d.meta(c, ErrChunkExtension)
}

// trailerByte reads a byte of the trailer section (RFC 9112 section 7.1.2), as strictly
// as the header is read.
func (d *ChunkDecoder) trailerByte(c byte) error {
	switch d.state {
	case trailerStart:
		if c == '\r' {
			d.state = endLF
			return nil
		}
		if class[c]&tokenChar == 0 {
			return ErrTrailer
		}
		d.state = trailerName
	case trailerName:
		if c == ':' {
			d.state = trailerValue
		} else if class[c]&tokenChar == 0 {
			return ErrTrailer
		}
	case trailerValue:
		if c == '\r' {
			d.state = trailerLF
			return nil
		}
	case trailerLF:
		d.state = trailerStart
		return expect(c, '\n')
	}
	return d.meta(c, ErrTrailer)
}
