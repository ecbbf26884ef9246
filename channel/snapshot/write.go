package snapshot

import (
	"encoding/binary"
	"io"
	"unsafe"

	"icomet/channel"
)

// encoder writes the stream as blocks. Once a write has failed, it does nothing more.
type encoder struct {
	w       io.Writer
	block   []byte // with room for its head
	sum     uint32 // the last checksum
	written int64
	err     error
	counts  Counts
	shared  sharedWriter
}

// sharedWriter knows which contents have a number.
type sharedWriter struct {
	numbers map[*byte]byte // by where the content is, since all copies of a broadcast share it
	texts   [sharedTexts]string
	next    byte
}

// encode writes a whole snapshot. each yields the channels, as channel.Hub.States does.
func encode(w io.Writer, p preamble, each func(visit func(*channel.State) error) error) (counts Counts, written int64, err error) {
	e := &encoder{w: w, block: make([]byte, blockHeadLen, blockHeadLen+maxBlock)}
	e.shared.numbers = make(map[*byte]byte, sharedTexts)
	e.begin()
	e.uint64(uint64(p.taken.UnixNano()))
	e.uint32(p.lives.Salt)
	e.uint32(p.lives.Count)
	err = each(func(s *channel.State) error {
		e.channel(s)
		return e.err
	})
	if err != nil {
		return Counts{}, 0, err
	}
	e.byte(recordEnd)
	e.uvarint(uint64(e.counts.Channels))
	e.uvarint(uint64(e.counts.Messages))
	e.uvarint(uint64(e.counts.Content))
	e.flush()
	return e.counts, e.written, e.err
}

// begin writes the head.
func (e *encoder) begin() {
	first := head(version)
	e.sum = binary.LittleEndian.Uint32(first[headLen-4:])
	e.write(first)
}

func (e *encoder) channel(s *channel.State) {
	e.counts.add(s)
	kind := byte(recordChannel)
	if s.Ended {
		kind |= flagEnded
	}
	if s.Token != "" {
		kind |= flagToken
	}
	if len(s.IDs) > 0 {
		kind |= flagIDs
	}
	e.byte(kind)
	e.text(s.Name)
	e.uint32(s.Epoch)
	e.uvarint(uint64(s.Next))
	e.uvarint(uint64(s.Left.Milliseconds()))
	if s.Token != "" {
		e.text(s.Token)
	}
	e.uvarint(uint64(len(s.Messages)))
	for i := range s.Messages {
		e.message(&s.Messages[i])
	}
	if len(s.IDs) == 0 {
		return
	}
	e.uvarint(uint64(len(s.IDs)))
	for _, id := range s.IDs {
		e.uvarint(uint64(s.Next - id.Seq))
		e.text(id.ID)
	}
}

func (e *encoder) message(m *channel.Message) {
	if m.Type != channel.Broadcast {
		e.byte(0)
		e.uvarint(uint64(m.At))
		e.text(m.Content)
		return
	}
	number, known := e.shared.find(m.Content)
	switch {
	case known:
		e.byte(messageBroadcast | messageShared)
		e.uvarint(uint64(m.At))
		e.byte(number)
		return
	case len(m.Content) >= leastShared:
		e.shared.add(m.Content)
		e.byte(messageBroadcast | messageShare)
	default:
		e.byte(messageBroadcast)
	}
	e.uvarint(uint64(m.At))
	e.text(m.Content)
}

func (s *sharedWriter) find(text string) (number byte, ok bool) {
	if len(text) < leastShared {
		return 0, false
	}
	number, ok = s.numbers[unsafe.StringData(text)]
	return number, ok && len(s.texts[number]) == len(text)
}

func (s *sharedWriter) add(text string) {
	if old := s.texts[s.next]; old != "" {
		delete(s.numbers, unsafe.StringData(old))
	}
	s.texts[s.next] = text
	s.numbers[unsafe.StringData(text)] = s.next
	s.next++ // from 255 to 0
}

func (e *encoder) write(b []byte) {
	if e.err != nil {
		return
	}
	n, err := e.w.Write(b)
	e.written += int64(n)
	e.err = err
}

// flush writes the block, if there is something in it.
func (e *encoder) flush() {
	payload := e.block[blockHeadLen:]
	if len(payload) == 0 {
		return
	}
	binary.LittleEndian.PutUint32(e.block, uint32(len(payload)))
	e.sum = blockSum(e.sum, payload)
	binary.LittleEndian.PutUint32(e.block[4:], e.sum)
	e.write(e.block)
	e.block = e.block[:blockHeadLen]
}

// room makes the block have room for n bytes, at most maxBlock.
func (e *encoder) room(n int) {
	if len(e.block)+n > cap(e.block) {
		e.flush()
	}
}

func (e *encoder) byte(b byte) {
	e.room(1)
	e.block = append(e.block, b)
}

func (e *encoder) uint32(n uint32) {
	e.room(4)
	e.block = binary.LittleEndian.AppendUint32(e.block, n)
}

func (e *encoder) uint64(n uint64) {
	e.room(8)
	e.block = binary.LittleEndian.AppendUint64(e.block, n)
}

func (e *encoder) uvarint(n uint64) {
	e.room(binary.MaxVarintLen64)
	e.block = binary.AppendUvarint(e.block, n)
}

// text may go over several blocks.
func (e *encoder) text(s string) {
	e.uvarint(uint64(len(s)))
	for len(s) > 0 {
		e.room(1)
		n := min(len(s), cap(e.block)-len(e.block))
		e.block = append(e.block, s[:n]...)
		s = s[n:]
	}
}
