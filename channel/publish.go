package channel

import "time"

// Publish stores a message and queues it to every subscriber. It creates the channel if
// needed. Errors: ErrTooManyChannels, ErrMemory, ErrOverloaded; a refused message has no
// seq.
func (h *Hub) Publish(name []byte, content string) (seq int64, err error) {
	c, err := h.obtain(name)
	if err != nil {
		return 0, err
	}
	seq, wake, err := h.store(c, Data, content)
	if err == nil {
		c.extend(h.timeoutDeadline())
	}
	h.settle(c)
	h.wake(wake)
	return seq, err
}

// store gives the message its seq, stores it and queues it. Channel.mu is held.
func (h *Hub) store(c *Channel, t Type, content string) (seq int64, wake uint64, err error) {
	if h.any(c.sinks, Sink.Full) {
		return 0, 0, ErrOverloaded
	}
	m := Message{Seq: c.next, Content: content, Type: t}
	c.next++
	h.keep(c, m)
	return m.Seq, h.push(c, m, c.sinks), nil
}

// Broadcast publishes to every channel that exists when its turn comes. While a sink is
// busy or full it calls pause; when that returns false, it ends with ErrStopped, and the rest of
// the channels do not get the message. It does not prolong a channel's life.
func (h *Hub) Broadcast(content string, pause func() bool) error {
	var batch []*Channel
	for i := range h.shards {
		batch = h.snapshot(&h.shards[i], batch[:0])
		for _, c := range batch {
			if err := h.broadcastTo(c, content, pause); err != nil {
				return err
			}
		}
		clear(batch)
	}
	return nil
}

func (h *Hub) broadcastTo(c *Channel, content string, pause func() bool) error {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil
		}
		if !h.any(c.sinks, Sink.Busy) {
			_, wake, err := h.store(c, Broadcast, content)
			c.mu.Unlock()
			h.wake(wake)
			if err == nil {
				return nil
			}
		} else {
			c.mu.Unlock()
		}
		if !pause() {
			return ErrStopped
		}
	}
}

func (h *Hub) snapshot(s *shard, dst []*Channel) []*Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.channels.all {
		dst = append(dst, c)
	}
	return dst
}

// Signed is the result of Sign.
type Signed struct {
	Seq   int64 // of the oldest stored message; if there is none, the next
	Token string
}

// Sign returns the channel's token, which stays the same while the channel lives. It
// creates the channel if needed, and keeps it for at least wait without a subscriber.
// Errors: ErrTooManyChannels, ErrMemory.
func (h *Hub) Sign(name []byte, wait time.Duration) (Signed, error) {
	c, err := h.obtain(name)
	if err != nil {
		return Signed{}, err
	}
	if c.token == nil {
		c.token = newToken()
	}
	out := Signed{Seq: c.next, Token: c.token.String()}
	if oldest, ok := c.ring.oldest(); ok {
		out.Seq = oldest
	}
	c.extend(h.deadlineIn(wait))
	h.settle(c)
	return out, nil
}

// Clear drops the stored messages and returns the next seq. Error: ErrNotFound.
func (h *Hub) Clear(name []byte) (next int64, err error) {
	c := h.lookup(name)
	if c == nil {
		return 0, ErrNotFound
	}
	if c.ring != nil {
		h.save(c, c.ring.n)
	}
	c.ring = nil
	next = c.next
	h.settle(c)
	return next, nil
}

// Close frees a channel, queues Closed to its subscribers and returns its next seq.
// Error: ErrNotFound.
func (h *Hub) Close(name []byte) (next int64, err error) {
	hash := h.hash(name)
	s := h.shard(hash)
	s.mu.Lock()
	c := s.channels.find(hash, name)
	if c == nil {
		s.mu.Unlock()
		return 0, ErrNotFound
	}
	c.mu.Lock()
	wake := h.remove(s, c)
	next = c.next
	wake |= h.push(c, Message{Seq: next, Type: Closed}, c.sinks)
	c.mu.Unlock()
	s.mu.Unlock()
	h.wake(wake)
	return next, nil
}

// ChannelSubscribers is the number of subscribers of one channel in this hub; 0 if there
// is no such channel.
func (h *Hub) ChannelSubscribers(name []byte) int {
	c := h.lookup(name)
	if c == nil {
		return 0
	}
	defer c.mu.Unlock()
	return int(c.subs)
}

// Alive reports whether a channel has a subscriber or has not expired yet.
func (h *Hub) Alive(name []byte) bool {
	c := h.lookup(name)
	if c == nil {
		return false
	}
	defer c.mu.Unlock()
	return c.aliveLocked(h.now.Load())
}
