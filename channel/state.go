package channel

import (
	"errors"
	"hash/maphash"
	"slices"
	"time"
)

// State is what of a channel outlives its process: the door for a snapshot.
type State struct {
	Name     string // 1 to MaxName bytes
	Epoch    uint32 // not 0
	Next     int64  // the seq of the next message, at least 1
	Ended    bool
	Token    string        // 32 hex digits; "" if it has none
	Left     time.Duration // until it is freed, if nobody subscribes
	Messages []Message     // those stored: Data and Broadcast, the last one is Next-1; At is how old each is, in slots of 100 ms
	IDs      []MessageID   // by seq
}

// MessageID is the id that a message was published with.
type MessageID struct {
	ID  string
	Seq int64
}

// Lives is what the epochs of new channels come from. A hub that goes on from the Lives of
// another never gives a name an epoch that it had there.
type Lives struct {
	Salt  uint32
	Count uint32 // how many channels a shard has created at most
}

// Why a channel is not restored.
var (
	ErrExpired = errors.New("the channel's life is over")
	ErrExists  = errors.New("there is such a channel already")
)

const (
	// resumedMS is the hub time at which a snapshot was taken, as the hub sees it that goes
	// on from it, and that of a follower's start. Messages were stored before, and hub time cannot be negative. It is more
	// than the largest buffer_ttl: what is older than it is as if it were that old.
	resumedMS = 400 * 24 * 3600 * 1000
	// longestLife is how far ahead a deadline can be, with a reserve. Who has been away for
	// longer has no channels any more.
	longestLife = 31 * 24 * time.Hour
)

// Lives is what another hub can go on from.
func (h *Hub) Lives() Lives {
	l := Lives{Salt: h.salt}
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		l.Count = max(l.Count, s.lives)
		s.mu.Unlock()
	}
	return l
}

// Resume lets a new hub go on from one whose snapshot was taken this long ago. It comes before
// the first Tick, Restore, Join and Publish.
func (h *Hub) Resume(l Lives, away time.Duration) {
	h.salt = l.Salt
	for i := range h.shards {
		h.shards[i].lives = l.Count // a name can be in any shard: the hash has another seed
	}
	h.startAt(resumedMS + min(max(0, away), longestLife).Milliseconds())
}

// startAt sets the hub time of the start (ms).
func (h *Hub) startAt(base int64) {
	h.base = base
	h.now.Store(base)
	h.expiry.swept = base / slotMS
}

// States calls visit with each channel that is alive, until visit returns an error. Nothing
// may change the hub meanwhile. What State points to is valid until visit returns, but for
// its strings.
func (h *Hub) States(visit func(*State) error) error {
	var found []*Channel
	var state State
	for i := range h.shards {
		for cursor, more := uint32(0), true; more; {
			found, cursor, more = h.walkShard(&h.shards[i], cursor, found[:0])
			for _, c := range found {
				if !h.state(c, &state) {
					continue
				}
				if err := visit(&state); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// state fills in s, unless c is not alive.
func (h *Hub) state(c *Channel, s *State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := h.now.Load()
	if !c.aliveLocked(now) {
		return false
	}
	h.expireLocked(c)
	*s = State{
		Name: c.Name(), Epoch: c.epoch, Next: c.next, Ended: c.ended,
		Left:     time.Duration(max(0, int64(c.deadline)*slotMS-now)) * time.Millisecond,
		Messages: c.ring.since(0, s.Messages[:0]), IDs: s.IDs[:0],
	}
	if c.subs > 0 { // as if they left now
		s.Left = max(s.Left, h.classLocked(c).Timeout+staleMS*time.Millisecond)
	}
	if c.token != nil {
		s.Token = c.token.String()
	}
	for i := range s.Messages {
		s.Messages[i].At = uint32(max(0, now/slotMS-int64(s.Messages[i].At)))
	}
	if c.ring != nil && c.ring.ids != nil {
		for _, id := range c.ring.ids.order {
			if c.ring.ids.seqs[id.id] == id.seq {
				s.IDs = append(s.IDs, MessageID{ID: id.id, Seq: id.seq})
			}
		}
	}
	return true
}

// Restore creates the channel of a snapshot, behind Resume, as far as the limits allow;
// dropped is how many of its messages they do not. It keeps the strings of s and nothing
// else. Errors: ErrExpired, ErrExists, ErrTooManyChannels.
func (h *Hub) Restore(s *State) (dropped int, err error) {
	deadline := resumedMS + s.Left.Milliseconds()
	if deadline <= h.now.Load() {
		return 0, ErrExpired
	}
	hash := uint32(maphash.String(h.seed, s.Name))
	in := h.shard(hash)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.channels.find(hash, []byte(s.Name)) != nil {
		return 0, ErrExists
	}
	if !h.reserve() {
		return 0, ErrTooManyChannels
	}
	c := newChannel(s.Name, hash, s.Epoch, h.limits.Load())
	c.next, c.ended, c.token = s.Next, s.Ended, parseToken(s.Token)
	c.extend(deadline)
	c.mu.Lock()
	c.ring, dropped = h.restoredRing(c, s)
	in.channels.add(c)
	h.settle(c)
	return dropped, nil
}

// restoredRing is the ring of a channel that is restored. Channel.mu is held.
func (h *Hub) restoredRing(c *Channel, s *State) (r *ring, dropped int) {
	if len(s.Messages) == 0 && len(s.IDs) == 0 {
		return nil, 0
	}
	r = new(ring)
	for i := range s.Messages {
		m := &s.Messages[i]
		m.At = uint32(resumedMS/slotMS - min(int64(m.At), resumedMS/slotMS))
		r.bytes += len(m.Content)
	}
	r.buf, r.n = s.Messages, int32(len(s.Messages))
	class := h.classLocked(c)
	dropped = r.surplus(class, h.expiredSlot(class))
	for i := range dropped {
		r.bytes -= len(s.Messages[i].Content)
	}
	r.buf, r.n = slices.Clone(s.Messages[dropped:]), r.n-int32(dropped)
	if len(s.IDs) > 0 {
		r.ids = &ids{seqs: make(map[string]int64, len(s.IDs)), order: make([]idOf, len(s.IDs))}
		for i, id := range s.IDs {
			r.ids.seqs[id.ID], r.ids.order[i] = id.Seq, idOf{id.ID, id.Seq}
		}
	}
	return r, dropped
}

// surplus is how many of the oldest messages class does not allow.
func (r *ring) surplus(class *Class, expired int64) int {
	k := max(r.expired(expired), int(r.n)-class.BufferSize)
	if class.BufferBytes > 0 {
		for i, bytes := 0, r.bytes; i < int(r.n)-1 && bytes > class.BufferBytes; i++ {
			bytes -= len(r.at(i).Content)
			k = max(k, i+1)
		}
	}
	return k
}
