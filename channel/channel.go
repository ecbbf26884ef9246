package channel

import (
	"sync"
	"unsafe"
)

// Channel is one named sequence of messages. The fields below mu are protected by mu.
//
// A channel that has left the hub stays closed for good. Code that still holds the
// pointer has to look the name up again.
//
// There may be a million of them, so the fields just fill 80 bytes, which is a size that
// the allocator has.
type Channel struct {
	nameAt *byte    // of nameLen bytes; see Name
	chain  *Channel // protected by the shard's lock: the next in the shard's table
	hash   uint32   // of the name
	epoch  uint32   // names this life of the channel; never 0, never changes

	mu       sync.Mutex
	next     int64  // the seq of the next stored message; the first is 1
	ring     *ring  // nil before the first message
	token    *token // nil before the first sign
	sinks    uint64 // the set of sinks that have subscribers, by sink number
	deadline uint32 // end of its life while it has no subscriber: hub time, in slots
	subs     int32  // subscribers on all sinks
	nameLen  uint8  // never changes, like nameAt
	class    uint8  // index in classes.list, for the classes of this turn
	turn     uint8
	armed    bool // in the expiry wheel
	closed   bool
	ended    bool // nothing more can be published
	changed  bool // follower: in the list that TakeChanged empties
	crowded  bool // follower: the store has to count each further subscriber
}

// ForeignEpoch is the epoch of no channel, for one that a client says and that cannot be.
const ForeignEpoch = 1

// MaxName bounds a channel's name, in bytes.
const MaxName = 255

// newChannel makes a channel of this name, which has 1 to MaxName bytes.
func newChannel(name string, hash, epoch uint32, l *classes) *Channel {
	return &Channel{
		nameAt: unsafe.StringData(name), nameLen: uint8(len(name)), hash: hash, epoch: epoch,
		class: l.index(name), turn: l.turn, next: 1,
	}
}

// Name is the channel's name. Concurrency-safe.
func (c *Channel) Name() string { return unsafe.String(c.nameAt, int(c.nameLen)) }

// Epoch names this life of the channel; another life of the name has another one. It is
// never 0. Concurrency-safe.
func (c *Channel) Epoch() uint32 { return c.epoch }

// Hash is a hash of the name, for tables keyed by channel. It never changes. A nil
// channel, which stands for presence, has 0. Concurrency-safe.
func (c *Channel) Hash() uint32 {
	if c == nil {
		return 0
	}
	return c.hash
}

// extend sets the end of the channel's life to deadline, in hub time (ms), unless it is
// later already. Channel.mu is held.
func (c *Channel) extend(deadline int64) {
	c.deadline = max(c.deadline, uint32((deadline+slotMS-1)/slotMS))
}

// aliveLocked reports whether the channel has a subscriber or has not expired yet.
// Channel.mu is held.
func (c *Channel) aliveLocked(now int64) bool {
	return !c.closed && (c.subs > 0 || int64(c.deadline)*slotMS > now)
}
