package channel

// Join is a subscriber's wish.
type Join struct {
	Name  []byte
	Since int64 // the next seq wanted; 0 or less: from now
	Sink  int   // who holds the subscriber
	// Auth demands that the channel exists and that Token is its token.
	Auth  bool
	Token []byte
	// Known demands that the channel exists.
	Known bool
	// Fetched says that Engine.Fetch has just judged this Join: token and limits
	// are not looked at again.
	Fetched bool
	// OneShot is a long poll: when there is something to answer at once, it does
	// not become a subscriber. The channel's life counts from then.
	OneShot bool
}

// Joined is what a subscriber starts with. Replay and Next come from one critical
// section: a message queued for the sink with a seq below Next is in Replay or was
// not asked for, and is to be skipped. That closes the race between subscribe and
// publish.
type Joined struct {
	Channel    *Channel
	Replay     []Message
	Next       int64 // the seq of the first message that comes live
	TellNext   bool  // the subscriber has to be told Next (it asked from now, or for a seq that is not there yet)
	Subscribed bool  // Leave is owed
}

// Join subscribes. Stored messages that were asked for are appended to replay. The
// Joins and Leaves of one sink come one after the other (in the server, from its
// event loop): else the sink could not know which Leave is the last.
// Errors: ErrToken, ErrTooManyChannels, ErrTooManySubscribers, ErrMemory; on a
// follower ErrFetch, when Engine.Fetch has to come first.
func (h *Hub) Join(j *Join, replay []Message) (Joined, error) {
	c, err := h.obtainFor(j)
	if err != nil {
		return Joined{}, err
	}
	if int(c.subs) >= h.limits.Load().MaxSubscribers && !j.Fetched {
		h.settle(c)
		return Joined{}, ErrTooManySubscribers
	}
	h.noteLocked(c)
	out := Joined{Channel: c, Next: c.next, Replay: replay}
	switch {
	case j.Since <= 0 || j.Since > c.next:
		out.TellNext = true
	case j.Since < c.next:
		out.Replay = c.ring.since(j.Since, replay)
	}
	if j.OneShot && (out.TellNext || len(out.Replay) > len(replay)) {
		c.extend(h.timeoutDeadline())
		h.settle(c)
		return out, nil
	}
	out.Subscribed = true
	c.subs++
	c.sinks |= 1 << j.Sink
	c.mu.Unlock()
	h.subscribers.Add(1)
	return out, nil
}

func (h *Hub) obtainFor(j *Join) (*Channel, error) {
	if h.follow != nil {
		return h.followedFor(j)
	}
	if !j.Auth && !j.Known {
		return h.obtain(j.Name)
	}
	c := h.lookup(j.Name)
	if c == nil {
		return nil, ErrToken
	}
	if j.Auth && !c.token.matches(j.Token) {
		h.settle(c)
		return nil, ErrToken
	}
	return c, nil
}

// Leave ends a subscription. last says that the sink has no other subscriber of c.
func (h *Hub) Leave(c *Channel, sink int, last bool) {
	c.mu.Lock()
	c.subs--
	if last {
		c.sinks &^= 1 << sink
	}
	if c.subs == 0 {
		c.extend(h.timeoutDeadline())
	}
	h.noteLocked(c)
	h.settle(c)
	h.subscribers.Add(-1)
}
