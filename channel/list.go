package channel

import (
	"math/bits"
	"time"
)

// walkStep is how many buckets of a table are read per hold of the shard's lock. A bucket
// has about one channel, each possibly a cache miss, so a hold is well below 0.1 ms.
const walkStep = 256

// Brief is a summary of one channel.
type Brief struct {
	Name        string
	Hash        uint32 // see Channel.Hash
	Subscribers int
	Next        int64         // the seq of the next message
	Stored      int           // messages in the buffer
	Oldest      int64         // the seq of the oldest of them; Next when there is none
	TimeLeft    time.Duration // until it is freed; 0 while it has a subscriber
	Epoch       uint32        // see Channel.Epoch
	Ended       bool          // nothing more can be published to it
	Class       string        // Class.Match of its class; "" for none
	OldestAge   time.Duration // of the oldest message; 0 when there is none
}

// Walk calls visit with groups of channels until visit returns false. A channel that
// exists all the time is seen once, or twice if a table changes its size meanwhile. The
// slice is valid until visit returns. No lock is held during visit, and none for longer
// than walkStep buckets take.
func (h *Hub) Walk(visit func(some []Brief) bool) {
	var found []*Channel
	var briefs []Brief
	for i := range h.shards {
		for cursor, more := uint32(0), true; more; {
			found, cursor, more = h.walkShard(&h.shards[i], cursor, found[:0])
			briefs = briefs[:0]
			for _, c := range found {
				c.mu.Lock()
				if !c.closed {
					briefs = append(briefs, h.briefLocked(c))
				}
				c.mu.Unlock()
			}
			clear(found)
			if len(briefs) > 0 && !visit(briefs) {
				return
			}
		}
	}
}

func (h *Hub) walkShard(s *shard, cursor uint32, dst []*Channel) (found []*Channel, next uint32, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range walkStep {
		if dst, cursor = s.channels.step(cursor, dst); cursor == 0 {
			return dst, 0, false
		}
	}
	return dst, cursor, true
}

// step appends the channels of the bucket at cursor and returns the cursor of the next
// bucket, 0 after the last. It counts from the highest bit down: when the table changes
// its size, a cursor still stands for the same hashes.
func (t *table) step(cursor uint32, dst []*Channel) ([]*Channel, uint32) {
	if len(t.buckets) == 0 {
		return dst, 0
	}
	mask := uint32(len(t.buckets) - 1)
	for c := t.buckets[cursor&mask]; c != nil; c = c.chain {
		dst = append(dst, c)
	}
	return dst, bits.Reverse32(bits.Reverse32(cursor|^mask) + 1)
}

func (h *Hub) briefLocked(c *Channel) Brief {
	h.expireLocked(c)
	now := h.now.Load()
	b := Brief{
		Name: c.Name(), Hash: c.hash, Subscribers: int(c.subs), Next: c.next, Oldest: c.next,
		Epoch: c.epoch, Ended: c.ended, Class: h.classLocked(c).Match,
	}
	if oldest, ok := c.ring.oldest(); ok {
		b.Oldest, b.Stored = oldest, c.ring.stored()
		b.OldestAge = time.Duration(max(0, now-int64(c.ring.at(0).At)*slotMS)) * time.Millisecond
	}
	if c.subs == 0 {
		b.TimeLeft = time.Duration(max(0, int64(c.deadline)*slotMS-now)) * time.Millisecond
	}
	return b
}

// Look summarizes one channel and appends its stored messages with seq at least since, at
// most the last limit of them. It creates no channel and prolongs no life; there is false
// if the channel does not exist.
func (h *Hub) Look(name []byte, since int64, limit int, dst []Message) (b Brief, ms []Message, there bool) {
	c := h.lookup(name)
	if c == nil {
		return Brief{}, dst, false
	}
	defer c.mu.Unlock()
	return h.briefLocked(c), c.ring.since(max(since, c.next-int64(limit)), dst), true
}
