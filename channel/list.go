package channel

import (
	"math/bits"
	"time"
)

// walkStep is how many buckets of a table one hold of its shard's lock looks at. A
// bucket has a channel on average, and each can be a miss of the cache, so this is
// well below 0.1 ms.
const walkStep = 256

// Brief is how a channel stands.
type Brief struct {
	Name        string
	Hash        uint32 // the same for the channel's life
	Subscribers int
	Next        int64         // the seq of the next message
	Stored      int           // messages in the buffer
	Oldest      int64         // the seq of the oldest of them; Next when there is none
	TimeLeft    time.Duration // that it lives yet without a subscriber; 0 with one
}

// Walk calls visit with some channels at a time, until visit returns false. A channel
// that exists for the whole walk is visited once; it can be visited twice if a table
// changes its size meanwhile. The slice is valid until visit returns. No lock is held
// during visit, and none longer than for walkStep channels.
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
// bucket, 0 behind the last. It counts from the highest bit down: a table of another
// size has then seen the same hashes at the same cursor.
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
	b := Brief{Name: c.name, Hash: c.hash, Subscribers: int(c.subs), Next: c.next, Oldest: c.next}
	if oldest, ok := c.ring.oldest(); ok {
		b.Oldest, b.Stored = oldest, c.ring.n
	}
	if c.subs == 0 {
		b.TimeLeft = time.Duration(max(0, int64(c.deadline)*slotMS-h.now.Load())) * time.Millisecond
	}
	return b
}

// Look tells how a channel stands and appends its stored messages from since on, the
// last limit of them. It changes nothing: the caller does not become a subscriber, and
// no channel is created.
func (h *Hub) Look(name []byte, since int64, limit int, dst []Message) (b Brief, ms []Message, there bool) {
	c := h.lookup(name)
	if c == nil {
		return Brief{}, dst, false
	}
	defer c.mu.Unlock()
	return h.briefLocked(c), c.ring.since(max(since, c.next-int64(limit)), dst), true
}
