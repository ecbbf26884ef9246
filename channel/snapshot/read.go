package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"
	"unsafe"

	"icomet/channel"
)

// decoder reads the stream out of blocks. Each block is checked before anything in it is
// used. Once err is set, everything that is read is zero.
type decoder struct {
	r     io.Reader
	size  int64 // of the file
	next  int64 // where the next block begins
	at    int64 // where the present block begins
	block []byte
	rest  []byte // of the block
	sum   uint32 // the last checksum
	err   error

	counts Counts
	shared [sharedTexts]string
	share  byte // the next number in shared
}

// decode reads a whole snapshot of size bytes. It calls begin, and then restore with each
// channel, whose slices are valid until restore returns. An error that is a *Damage says what
// is wrong with the file; then what was restored must not be used. Others are those of r.
func decode(r io.Reader, size int64, begin func(preamble), restore func(*channel.State) error) (Counts, error) {
	d := &decoder{r: r, size: size, block: make([]byte, blockHeadLen+maxBlock)}
	first := d.block[:headLen]
	if d.fill(first); d.err == nil {
		d.sum, d.err = checkHead(first)
	}
	p := preamble{taken: time.Unix(0, int64(d.uint64()))}
	p.lives = channel.Lives{Salt: d.uint32(), Count: d.uint32()}
	if d.err != nil {
		return Counts{}, d.err
	}
	begin(p)
	var s channel.State
	for {
		kind := d.byte()
		if d.err == nil && kind == recordEnd {
			return d.counts, d.end()
		}
		d.channel(kind, &s)
		if d.err != nil {
			return Counts{}, d.err
		}
		d.counts.add(&s)
		if err := restore(&s); err != nil {
			d.fail("the channel %q: %v", s.Name, err)
			return Counts{}, d.err
		}
	}
}

// end checks that all is there, and nothing behind it.
func (d *decoder) end() error {
	channels, messages, content := d.uvarint(), d.uvarint(), d.uvarint()
	want := Counts{int(channels), int(messages), int64(content)}
	switch {
	case d.err != nil:
	case want != d.counts:
		d.fail("it should have %d channels, %d messages and %d bytes of content, and has %d, %d and %d",
			want.Channels, want.Messages, want.Content, d.counts.Channels, d.counts.Messages, d.counts.Content)
	case len(d.rest) > 0 || d.next != d.size:
		d.fail("there is something behind the end")
	}
	return d.err
}

func (d *decoder) channel(kind byte, s *channel.State) {
	if kind&^(flagEnded|flagToken|flagIDs) != recordChannel {
		d.fail("%d is no kind of a record", kind)
	}
	*s = channel.State{
		Name: d.text(channel.MaxName), Epoch: d.uint32(), Next: int64(d.number64(maxSeq)), Ended: kind&flagEnded != 0,
		Left:     time.Duration(d.number64(uint64(longestLife.Milliseconds()))) * time.Millisecond,
		Messages: s.Messages[:0], IDs: s.IDs[:0],
	}
	if kind&flagToken != 0 {
		if s.Token = d.text(tokenLen); len(s.Token) != tokenLen {
			d.fail("a token of %d bytes", len(s.Token))
		}
	}
	if s.Name == "" || !utf8.ValidString(s.Name) || s.Epoch == 0 || s.Next < 1 {
		d.fail("the channel %q with epoch %08x and next seq %d cannot be", s.Name, s.Epoch, s.Next)
	}
	n := int64(d.number64(maxSeq))
	if n > s.Next-1 {
		d.fail("%d messages before seq %d", n, s.Next)
	}
	for seq := s.Next - n; seq < s.Next && d.err == nil; seq++ {
		s.Messages = append(s.Messages, d.message(seq))
	}
	if kind&flagIDs != 0 {
		for n := d.uvarint(); n > 0 && d.err == nil; n-- {
			s.IDs = append(s.IDs, d.id(s.Next))
		}
	}
}

// tokenLen is that of a token as text.
const tokenLen = 32

func (d *decoder) message(seq int64) channel.Message {
	kind := d.byte()
	m := channel.Message{Seq: seq, At: uint32(d.number64(math.MaxUint32))}
	if kind&messageBroadcast != 0 {
		m.Type = channel.Broadcast
	}
	switch kind &^ messageBroadcast {
	case messageShared:
		m.Content = d.shared[d.byte()]
	case 0:
		m.Content = d.text(d.size)
	case messageShare:
		m.Content = d.text(d.size)
		d.shared[d.share] = m.Content
		d.share++
	default:
		d.fail("%d is no kind of a message", kind)
	}
	return m
}

func (d *decoder) id(next int64) channel.MessageID {
	back := int64(d.number64(maxSeq))
	id := channel.MessageID{Seq: next - back, ID: d.text(maxID)}
	if back < 1 || back >= next || id.ID == "" {
		d.fail("an id %q, %d before seq %d", id.ID, back, next)
	}
	return id
}

// fail keeps the first mistake, and empties the block.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = &Damage{d.at, fmt.Sprintf(format, args...)}
	}
	d.rest = nil
}

// fill reads from the file.
func (d *decoder) fill(b []byte) {
	n, err := io.ReadFull(d.r, b)
	d.next += int64(n)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		d.fail("the file ends at byte %d, in the middle", d.next)
	default:
		d.err = err
	}
}

// advance reads the next block.
func (d *decoder) advance() {
	if d.err != nil {
		return
	}
	d.at = d.next
	blockHead := d.block[:blockHeadLen]
	d.fill(blockHead)
	if d.err != nil {
		return
	}
	n := binary.LittleEndian.Uint32(blockHead)
	if n == 0 || n > maxBlock {
		d.fail("a block of %d bytes cannot be", n)
		return
	}
	payload := d.block[blockHeadLen : blockHeadLen+n]
	d.fill(payload)
	switch d.sum = blockSum(d.sum, payload); {
	case d.err != nil:
	case binary.LittleEndian.Uint32(blockHead[4:]) != d.sum:
		d.fail("the checksum is wrong")
	default:
		d.rest = payload
	}
}

func (d *decoder) byte() (b byte) {
	if len(d.rest) == 0 {
		d.advance()
	}
	if d.err != nil {
		return 0
	}
	b, d.rest = d.rest[0], d.rest[1:]
	return b
}

func (d *decoder) uint32() (n uint32) {
	for i := range 4 {
		n |= uint32(d.byte()) << (8 * i)
	}
	return n
}

func (d *decoder) uint64() uint64 { return uint64(d.uint32()) | uint64(d.uint32())<<32 }

func (d *decoder) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	d.fail("a number is too large")
	return 0
}

// number64 is a uvarint of at most limit.
func (d *decoder) number64(limit uint64) uint64 {
	n := d.uvarint()
	if n > limit {
		d.fail("%d is over %d", n, limit)
		return 0
	}
	return n
}

// text is a copy, made once.
func (d *decoder) text(limit int64) string {
	n := int(d.number64(uint64(limit)))
	if n <= len(d.rest) {
		s := string(d.rest[:n])
		d.rest = d.rest[n:]
		return s
	}
	if int64(n) > d.size { // rather than asking for memory that the file cannot fill
		d.fail("a text of %d bytes cannot be", n)
		return ""
	}
	b := make([]byte, 0, n)
	for len(b) < n {
		if len(d.rest) == 0 {
			d.advance()
		}
		if d.err != nil {
			return ""
		}
		part := d.rest[:min(n-len(b), len(d.rest))]
		b, d.rest = append(b, part...), d.rest[len(part):]
	}
	return unsafe.String(unsafe.SliceData(b), n)
}
