package channel

import "sync"

// Channel is one named sequence of messages. The fields below mu are protected by mu.
//
// A channel that has left the hub stays closed for good. Code that still holds the
// pointer has to look the name up again.
type Channel struct {
	name  string
	hash  uint32   // of the name
	subs  int32    // protected by mu: subscribers on all sinks
	chain *Channel // protected by the shard's lock: the next in the shard's table

	mu       sync.Mutex
	next     int64  // the seq of the next stored message; the first is 1
	ring     *ring  // nil before the first message
	token    *token // nil before the first sign
	sinks    uint64 // the set of sinks that have subscribers, by sink number
	deadline uint32 // end of its life while it has no subscriber: hub time, in expiry slots
	armed    bool   // in the expiry wheel
	closed   bool
	changed  bool // follower: in the list that TakeChanged empties
	crowded  bool // follower: the store has to count each further subscriber
}

// Name is the channel's name. Concurrency-safe.
func (c *Channel) Name() string { return c.name }

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
