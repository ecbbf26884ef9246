package channel

import "time"

// Publication is what is to be published, and on which conditions.
type Publication struct {
	Name    []byte // of the channel; created if needed
	Content string
	// ID makes the call repeatable: if one of the channel's last messages (Class.IDWindow)
	// has it, the publish is not carried out again. "": none.
	ID string
	// OnlyIf says that the message must become number IfSeq of the channel, else
	// ErrConflict; with an IfEpoch other than 0 also that this is the channel's epoch. A
	// channel is created for number 1 only.
	OnlyIf  bool
	IfSeq   int64
	IfEpoch uint32
	// End ends the channel behind the message, as one step. With NoContent there is no
	// message, and a channel that does not exist is ErrNotFound. An ended channel stays as it
	// is.
	End, NoContent bool
}

// creates reports that the call may create its channel.
func (p *Publication) creates() bool {
	return !p.NoContent && (!p.OnlyIf || p.IfSeq == 1 && p.IfEpoch == 0)
}

// Published is where a message is.
type Published struct {
	Seq       int64 // of the message; with End and on ErrEnded and ErrConflict the channel's next seq
	Epoch     uint32
	Duplicate bool // the message with this ID was there already
}

// Publish stores a message and queues it to every subscriber. Errors: ErrTooManyChannels,
// ErrMemory, ErrOverloaded, ErrEnded, ErrConflict (Epoch 0: there is no such channel); with
// End ErrNotFound. A refused message has no seq.
func (h *Hub) Publish(p *Publication) (Published, error) {
	var c *Channel
	if p.creates() {
		var err error
		if c, err = h.obtain(p.Name); err != nil {
			return Published{}, err
		}
	} else if c = h.lookup(p.Name); c == nil {
		if p.OnlyIf {
			return Published{Seq: 1}, ErrConflict
		}
		return Published{}, ErrNotFound
	}
	out, wake, err := h.publishLocked(c, p)
	h.settle(c)
	h.wake(wake)
	return out, err
}

// publishLocked judges p and carries it out. Channel.mu is held.
func (h *Hub) publishLocked(c *Channel, p *Publication) (out Published, wake uint64, err error) {
	out.Epoch, out.Seq = c.epoch, c.next
	class := h.classLocked(c)
	first, known := c.findID(class, p.ID)
	switch {
	case p.End:
		if c.ended {
			return out, 0, nil
		}
		if !p.NoContent && !known {
			if _, wake, err = h.store(c, class, Final, p.Content, p.ID); err != nil {
				return Published{}, 0, err
			}
		} else {
			wake = h.push(c, Message{Seq: c.next, Type: Ended}, c.sinks)
		}
		c.ended, out.Seq = true, c.next
	case known:
		out.Seq, out.Duplicate = first, true
		return out, 0, nil
	case c.ended:
		return out, 0, ErrEnded
	case p.OnlyIf && (p.IfSeq != c.next || p.IfEpoch != 0 && p.IfEpoch != c.epoch):
		return out, 0, ErrConflict
	default:
		if out.Seq, wake, err = h.store(c, class, Data, p.Content, p.ID); err != nil {
			return Published{}, 0, err
		}
	}
	c.extend(h.deadlineIn(class.Timeout))
	return out, wake, nil
}

// store gives the message its seq, stores it and queues it. Channel.mu is held.
func (h *Hub) store(c *Channel, class *Class, t Type, content, id string) (seq int64, wake uint64, err error) {
	if h.any(c.sinks, Sink.Full) {
		return 0, 0, ErrOverloaded
	}
	m := Message{Seq: c.next, Content: content, Type: t, At: h.Slot()}
	c.next++
	wake = h.push(c, m, c.sinks)
	if t == Final {
		m.Type = Data
	}
	h.keep(c, class, m)
	if id != "" {
		c.noteID(class, id, m.Seq)
	}
	return m.Seq, wake, nil
}

// Broadcast publishes to every channel that exists when its turn comes and has not ended;
// with an id, to those that have no message with it yet. While a sink is busy or full it
// calls pause; when that returns false, it ends with ErrStopped, and the rest of the
// channels do not get the message. It does not prolong a channel's life.
func (h *Hub) Broadcast(content, id string, pause func() bool) error {
	var batch []*Channel
	for i := range h.shards {
		batch = h.snapshot(&h.shards[i], batch[:0])
		for _, c := range batch {
			if err := h.broadcastTo(c, content, id, pause); err != nil {
				return err
			}
		}
		clear(batch)
	}
	return nil
}

func (h *Hub) broadcastTo(c *Channel, content, id string, pause func() bool) error {
	for {
		c.mu.Lock()
		class := h.classLocked(c)
		if _, known := c.findID(class, id); known || c.closed || c.ended {
			c.mu.Unlock()
			return nil
		}
		if !h.any(c.sinks, Sink.Busy) {
			_, wake, err := h.store(c, class, Broadcast, content, id)
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
	h.expireLocked(c)
	out := Signed{Seq: c.next, Token: c.token.String()}
	if oldest, ok := c.ring.oldest(); ok {
		out.Seq = oldest
	}
	c.extend(h.deadlineIn(wait))
	h.settle(c)
	return out, nil
}

// Clear drops the stored messages, but not their ids, and returns the next seq. Error:
// ErrNotFound.
func (h *Hub) Clear(name []byte) (next int64, err error) {
	c := h.lookup(name)
	if c == nil {
		return 0, ErrNotFound
	}
	h.dropStored(c)
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
	wake |= h.last(c, Message{Seq: next, Type: Closed})
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

// Alive reports whether there is such a channel: one without subscribers is until the sweep
// behind its deadline frees it, since until then its name, seqs and end are what they were.
func (h *Hub) Alive(name []byte) bool {
	c := h.lookup(name)
	if c == nil {
		return false
	}
	c.mu.Unlock()
	return true
}
