package channel

import "sync"

// A follower is the hub of one node of several: its channels are copies of those
// that a store has. It has a copy while it has subscribers of the channel, and for
// Limits.Timeout after the last one. Its engine makes the copies and keeps them up
// to date with the methods of this file; the hub's own Publish, Sign, Clear, Close
// and Broadcast are not used then.
type followed struct {
	mu      sync.Mutex // a leaf lock
	changed []*Channel
}

// Copy is how a channel stands in the store.
type Copy struct {
	Next     int64
	Token    string    // hex digits; "": nobody has signed it
	Messages []Message // the stored ones, in order; the last is Next-1
	Crowded  bool
}

// Change is a copy whose subscribers have come or gone since the last look.
type Change struct {
	Channel     *Channel
	Subscribers int
	Freed       bool // the copy is no longer in the hub
}

// Follow makes the hub a follower. Before the first Join only.
func (h *Hub) Follow() { h.follow = new(followed) }

// Following reports that the hub has only some of the channels: copies of those that
// have, or just had, subscribers on this node.
func (h *Hub) Following() bool { return h.follow != nil }

// noteLocked enters a copy in the list of the changed. Channel.mu is held.
func (h *Hub) noteLocked(c *Channel) {
	if h.follow == nil || c.changed {
		return
	}
	c.changed = true
	h.follow.mu.Lock()
	h.follow.changed = append(h.follow.changed, c)
	h.follow.mu.Unlock()
}

// followedFor is obtainFor of a follower: it returns ErrFetch when only the store can
// tell.
func (h *Hub) followedFor(j *Join) (*Channel, error) {
	c := h.lookup(j.Name)
	if c == nil {
		return nil, ErrFetch
	}
	if j.Fetched {
		return c, nil
	}
	// A seq that is not there yet may be one that another node has given out already.
	known := j.Since <= c.next && !c.crowded && int(c.subs) < h.limits.Load().MaxSubscribers/4
	if !known || j.Auth && !c.token.matches(j.Token) {
		h.settle(c)
		return nil, ErrFetch
	}
	return c, nil
}

// Install makes a copy. One engine goroutine at a time calls it for a name, and only
// when there is none.
func (h *Hub) Install(name string, s Copy) *Channel {
	hash := h.hash([]byte(name))
	c := &Channel{name: name, hash: hash, next: s.Next, token: parseToken(s.Token), crowded: s.Crowded}
	if len(s.Messages) > 0 {
		c.ring = new(ring)
		limit := h.limits.Load().BufferSize
		for _, m := range s.Messages {
			c.ring.push(m, limit)
		}
	}
	sh := h.shard(hash)
	sh.mu.Lock()
	sh.channels.add(c)
	sh.mu.Unlock()
	h.channels.Add(1)
	c.mu.Lock()
	c.extend(h.timeoutDeadline())
	h.settle(c)
	return c
}

// Feed stores the next message of a copy and queues it to its subscribers. It
// reports whether the copy is still there; m.Seq is its next.
func (h *Hub) Feed(c *Channel, m Message) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.next = m.Seq + 1
	if c.ring == nil {
		c.ring = new(ring)
	}
	c.ring.push(m, h.limits.Load().BufferSize)
	wake := h.push(c, m, c.sinks)
	c.mu.Unlock()
	h.wake(wake)
	return true
}

// Congested reports that a sink with subscribers of the copy is over its limit.
func (h *Hub) Congested(c *Channel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.any(c.sinks, Sink.Full)
}

// Uncopy takes a copy out; its subscribers get last, Closed or Moved. It reports
// how many there are.
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
	wake := h.push(c, last, c.sinks)
	subscribers = int(c.subs)
	c.mu.Unlock()
	s.mu.Unlock()
	h.wake(wake)
	return subscribers
}

// DropBelow forgets the stored messages before seq (a Clear elsewhere).
func (h *Hub) DropBelow(c *Channel, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if oldest, ok := c.ring.oldest(); !ok || oldest >= seq {
		return
	}
	kept := c.ring.since(seq, nil)
	c.ring = nil
	if seq < c.next {
		c.ring = &ring{buf: kept, n: len(kept)}
	}
}

// Learn notes what the store says of a copy in addition to its messages.
func (h *Hub) Learn(c *Channel, token string, crowded bool) {
	c.mu.Lock()
	if c.token == nil {
		c.token = parseToken(token)
	}
	c.crowded = crowded
	c.mu.Unlock()
}

// CountOf is how many subscribers a copy has, and whether it is still there.
func (h *Hub) CountOf(c *Channel) (subscribers int, there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.subs), !c.closed
}

// TakeChanged appends the copies that have changed since the last call.
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

// Limits are those that hold now.
func (h *Hub) Limits() Limits { return *h.limits.Load() }

// Busy reports that a broadcast has to wait for a sink.
func (h *Hub) Busy() bool { return h.any(1<<len(h.sinks)-1, Sink.Busy) }

// Watched reports that a sink has presence watchers.
func (h *Hub) Watched() bool { return h.watching.Load() != 0 }

// WatchersBusy reports that bulk presence has to wait for a sink with watchers.
func (h *Hub) WatchersBusy() bool { return h.any(h.watching.Load(), Sink.HalfFull) }

// Announce hands on Online or Offline. The calls for one name come one after the other.
func (h *Hub) Announce(t Type, name string) { h.wake(h.announce(t, name)) }
