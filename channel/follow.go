package channel

import "sync"

// A follower is the hub of one of several nodes: its channels are copies of those in a
// store. It has the copy of a channel while the channel has subscribers here, and for
// Limits.Timeout after the last one. Its engine makes the copies and keeps them up to
// date with the methods of this file, instead of Publish, Sign, Clear, Close and
// Broadcast.
type followed struct {
	mu      sync.Mutex // a leaf lock
	changed []*Channel
}

// Copy is the state of a channel in the store.
type Copy struct {
	Epoch    uint32 // not 0
	Next     int64
	Token    string    // hex digits; "": nobody has signed it
	Messages []Message // the stored ones, in order; the last has seq Next-1
	Crowded  bool      // the store has to count each further subscriber
	Ended    bool      // nothing more can be published
}

// Change is a copy whose number of subscribers may have changed, or that has left the
// hub.
type Change struct {
	Channel     *Channel
	Subscribers int
	Freed       bool // the copy is no longer in the hub
}

// Follow makes the hub a follower. It must be called before the first Join.
func (h *Hub) Follow() {
	h.follow = new(followed)
	h.startAt(resumedMS)
}

// Following reports that the hub is a follower: it has only the channels that have, or
// recently had, subscribers on this node.
func (h *Hub) Following() bool { return h.follow != nil }

// noteLocked puts a copy into the list for TakeChanged. Channel.mu is held.
func (h *Hub) noteLocked(c *Channel) {
	if h.follow == nil || c.changed {
		return
	}
	c.changed = true
	h.follow.mu.Lock()
	h.follow.changed = append(h.follow.changed, c)
	h.follow.mu.Unlock()
}

// followedFor is obtainFor of a follower. ErrFetch: the copy cannot decide, so the store
// has to.
func (h *Hub) followedFor(j *Join) (*Channel, error) {
	c := h.lookup(j.Name)
	if c == nil {
		return nil, ErrFetch
	}
	if j.Fetched {
		return c, nil
	}
	// A seq above the copy's next may exist already: another node may have given it out.
	class := h.classLocked(c)
	known := j.Since <= c.next && !c.crowded && int(c.subs) < class.MaxSubscribers/4
	if j.Position && j.Since > 0 && j.Epoch != 0 && j.Epoch != c.epoch {
		known = false // the store may have the life that it knows
	}
	if c.subs == 0 && int64(c.deadline)*slotMS-h.now.Load() < class.Timeout.Milliseconds()/2 {
		// The store may free the channel before it hears of this subscriber, unless it
		// counts it first.
		known = false
	}
	if !known || j.Auth && !c.token.matches(j.Token) {
		h.settle(c)
		return nil, ErrFetch
	}
	return c, nil
}

// Install makes the copy of a channel that the hub does not have. For one name, only one
// goroutine at a time calls it.
func (h *Hub) Install(name string, s Copy) *Channel {
	hash := h.hash([]byte(name))
	sh := h.shard(hash)
	sh.mu.Lock()
	c := newChannel(name, hash, s.Epoch, h.limits.Load())
	c.next, c.token, c.crowded, c.ended = s.Next, parseToken(s.Token), s.Crowded, s.Ended
	c.mu.Lock()
	// All that the store has: limits that have become smaller since count from the next message on.
	if len(s.Messages) > 0 {
		c.ring = new(ring)
	}
	for _, m := range s.Messages {
		c.ring.push(m, len(s.Messages))
	}
	sh.channels.add(c)
	sh.mu.Unlock()
	h.channels.Add(1)
	h.used(c)
	h.settle(c)
	return c
}

// Feed stores the next message of a copy and queues it to the subscribers; Final and Ended
// end the copy's channel. m.Seq is not checked: the caller keeps the order. It reports whether the copy is still in the hub.
func (h *Hub) Feed(c *Channel, m Message) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	wake := h.push(c, m, c.sinks)
	switch c.ended = c.ended || m.Type == Final || m.Type == Ended; m.Type {
	case Ended:
	case Final:
		m.Type = Data
		fallthrough
	default:
		c.next = m.Seq + 1
		h.keep(c, h.classLocked(c), m)
	}
	c.mu.Unlock()
	h.wake(wake)
	return true
}

// Congested reports that a sink with subscribers of the copy is full.
func (h *Hub) Congested(c *Channel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.any(c.sinks, Sink.Full)
}

// Uncopy takes a copy out of the hub and queues last (Closed or Moved) to its
// subscribers. It returns their number; 0 if the copy had left already.
func (h *Hub) Uncopy(c *Channel, last Message) (subscribers int) {
	s := h.shard(c.hash)
	s.mu.Lock()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		s.mu.Unlock()
		return 0
	}
	h.remove(s, c)
	wake := h.last(c, last)
	subscribers = int(c.subs)
	c.mu.Unlock()
	s.mu.Unlock()
	h.wake(wake)
	return subscribers
}

// DropBelow drops the stored messages before seq, as a Clear on another node does.
func (h *Hub) DropBelow(c *Channel, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if oldest, ok := c.ring.oldest(); !ok || oldest >= seq {
		return
	}
	h.shed(c, c.ring.skip(seq))
}

// Learn stores what the store says of a copy besides messages: the token (32 hex digits,
// "": none), and whether the channel is crowded (see Copy).
func (h *Hub) Learn(c *Channel, token string, crowded bool) {
	c.mu.Lock()
	if c.token == nil {
		c.token = parseToken(token)
	}
	c.crowded = crowded
	c.mu.Unlock()
}

// CountOf returns how many subscribers a copy has, and whether it is still in the hub.
func (h *Hub) CountOf(c *Channel) (subscribers int, there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.subs), !c.closed
}

// TakeChanged appends the copies that have changed since the last call, each once.
func (h *Hub) TakeChanged(dst []Change) []Change {
	f := h.follow
	f.mu.Lock()
	list := f.changed
	f.changed = nil
	f.mu.Unlock()
	for _, c := range list {
		c.mu.Lock()
		c.changed = false
		dst = append(dst, Change{c, int(c.subs), c.closed})
		c.mu.Unlock()
	}
	return dst
}

// Slot is the present hub time, for Message.At. A follower's is more than any BufferTTL:
// what was stored before it has started has a time, too.
func (h *Hub) Slot() uint32 { return uint32(h.now.Load() / slotMS) }

// Limits returns the present limits.
func (h *Hub) Limits() Limits { return h.limits.Load().Limits }

// Busy reports that a broadcast has to wait for a sink.
func (h *Hub) Busy() bool { return h.any(1<<len(h.sinks)-1, Sink.Busy) }

// Watched reports whether any sink has presence watchers.
func (h *Hub) Watched() bool { return h.watching.Load() != 0 }

// WatchersBusy reports whether a sink with presence watchers is half full: repeats of
// Online then have to wait.
func (h *Hub) WatchersBusy() bool { return h.any(h.watching.Load(), Sink.HalfFull) }

// Announce queues Online or Offline to the sinks with watchers. For one name, the caller
// makes one call after the other.
func (h *Hub) Announce(t Type, name string) { h.wake(h.announce(t, name)) }
