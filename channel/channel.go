package channel

import "sync"

// Channel is one named sequence of messages. The fields below mu are guarded by it.
//
// A channel that is taken out of the hub is marked closed for good. Code that still holds
// the pointer has to look the name up again.
type Channel struct {
	name  string
	hash  uint32   // of the name; for tables keyed by channel
	subs  int32    // of mu: subscribers on all sinks
	chain *Channel // of its shard's lock: the next in the shard's table

	mu       sync.Mutex
	next     int64  // the seq of the next stored message; the first is 1
	ring     *ring  // nil before the first message
	token    *token // nil before the first sign
	sinks    uint64 // the set of sinks that have subscribers, by sink number
	deadline uint32 // hub time, in expiry slots, until which it lives without a subscriber
	armed    bool   // in the expiry wheel
	closed   bool
	changed  bool // follower: in the list that TakeChanged empties
	crowded  bool // follower: so many subscribers on all nodes that the store has to count
}

// Name is the channel's name. Concurrency-safe.
func (c *Channel) Name() string { return c.name }

// Hash spreads channels over tables; it stays the same for the channel's life. A
// nil channel (presence) has 0. Concurrency-safe.
func (c *Channel) Hash() uint32 {
	if c == nil {
		return 0
	}
	return c.hash
}

// extend moves the end of its life to at least deadline, in hub time (ms).
// Channel.mu is held.
func (c *Channel) extend(deadline int64) {
	c.deadline = max(c.deadline, uint32((deadline+slotMS-1)/slotMS))
}

// aliveLocked reports whether it is subscribed or not yet expired.
func (c *Channel) aliveLocked(now int64) bool {
	return !c.closed && (c.subs > 0 || int64(c.deadline)*slotMS > now)
}
