package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"icomet/channel"
)

// The file, all numbers little-endian:
//
//	head   magic, version uint32, checksum uint32 of what is before it
//	block  length uint32, checksum uint32, payload
//	…      more blocks, to the end of the file
//
// The checksums are CRC-32C. That of a block is of the checksum before it (the head's, then
// the block's before), its length and its payload, so that a block that is missing, moved or
// of an older file is found out as well. The payloads, one behind the other, are a stream, in which
// uvarint is that of encoding/binary and text has its length, a uvarint, before it:
//
//	when it was taken, ns since 1970, uint64; channel.Lives: Salt uint32, Count uint32
//	for each channel:
//	  1 | flagEnded | flagToken | flagIDs, a byte
//	  name text, epoch uint32, next uvarint, left uvarint ms
//	  flagToken: token text
//	  how many messages, uvarint; for each, the oldest first:
//	    messageBroadcast | messageShare | messageShared, a byte
//	    age uvarint, slots of 100 ms
//	    messageShared: number, a byte; else content text
//	  flagIDs: how many, uvarint; for each: how far its seq is behind next, uvarint; id text
//	0, a byte; how many channels, messages and bytes of content there were, uvarints
//
// Broadcasts are in all channels, so their contents are written once: a message with
// messageShare gives its content the next number, from 0 to 255 and again from 0, and those
// with messageShared refer to it. The reader's channels so share its bytes, as the writer's.
//
// A later version may change all but the head, so that it can be told from damage.
const (
	magic   = "ICOMSNAP"
	version = 1

	headLen      = len(magic) + 4 + 4
	blockHeadLen = 4 + 4
	// maxBlock is the largest payload: large enough that its head and its write cost
	// nothing, and small enough for a buffer.
	maxBlock = 256 << 10

	recordEnd     = 0
	recordChannel = 1
	flagEnded     = 2
	flagToken     = 4
	flagIDs       = 8

	messageBroadcast = 1
	messageShare     = 2
	messageShared    = 4

	// sharedTexts is how many contents of broadcasts can be referred to.
	sharedTexts = 256
	// leastShared is how long a content has to be, in bytes, that it is worth it.
	leastShared = 16

	// maxID is the longest id of a message, in bytes.
	maxID = 64
	// longestLife bounds State.Left, with a reserve.
	longestLife = 31 * 24 * time.Hour
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// preamble is what the stream begins with.
type preamble struct {
	taken time.Time
	lives channel.Lives
}

// Counts is how much a snapshot has.
type Counts struct {
	Channels, Messages int
	Content            int64 // bytes
}

func (c *Counts) add(s *channel.State) {
	c.Channels++
	c.Messages += len(s.Messages)
	for i := range s.Messages {
		c.Content += int64(len(s.Messages[i].Content))
	}
}

func head(version uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(magic), version)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// checkHead reads what head has made, and returns its checksum.
func checkHead(b []byte) (sum uint32, err error) {
	n := headLen - 4
	switch {
	case string(b[:len(magic)]) != magic:
		return 0, &Damage{0, "this is no snapshot"}
	case binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return 0, &Damage{0, "the checksum of the head is wrong"}
	}
	if v := binary.LittleEndian.Uint32(b[len(magic):]); v != version {
		return 0, &Damage{0, fmt.Sprintf("it is of version %d, and this server reads version %d", v, version)}
	}
	return binary.LittleEndian.Uint32(b[n:]), nil
}

// blockSum is the checksum of a block behind the checksum before.
func blockSum(before uint32, payload []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint32(b[:], before)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(payload)))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, payload)
}

// Damage is what is wrong in a file that cannot be used.
type Damage struct {
	At   int64 // where the head or block begins in which it was found, in bytes
	What string
}

func (d *Damage) Error() string { return fmt.Sprintf("at byte %d: %s", d.At, d.What) }

// maxSeq is the largest seq that can be.
const maxSeq = math.MaxInt64
