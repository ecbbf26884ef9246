package channel

// Join is a request to subscribe.
type Join struct {
	Name  []byte
	Since int64 // the first seq wanted; 0 or less: from now
	Sink  int   // number of the sink that has the subscriber
	// Auth demands that the channel exists and that Token is its token; else ErrToken.
	Auth  bool
	Token []byte
	// Known demands that the channel exists; else ErrToken.
	Known bool
	// Fetched says that Engine.Fetch has just checked the token and the limits of this
	// Join; they are not checked again.
	Fetched bool
	// OneShot is a long poll: if there is something to answer at once, it does not become
	// a subscriber. The channel then lives for Limits.Timeout from now.
	OneShot bool
	// Limit is the largest replay, in bytes; 0: none. What is larger is read in pieces.
	Limit int
	// Keep is how much of what leaves the channel's buffer meanwhile is kept for those who
	// read it in pieces, in bytes for each channel; one message may be more.
	Keep int
}

// Joined is where a subscriber starts. Replay and Next are taken under one hold of the
// channel's lock: a message in the sink's queue with a seq below Next is in Replay or was
// not asked for, and the sink skips it. So no publish is lost or doubled.
type Joined struct {
	Channel    *Channel
	Replay     []Message // the argument of Join, with the stored messages appended
	Next       int64     // the seq of the first message that the sink's queue brings
	TellNext   bool      // the subscriber has to be told Next: it asked from now, or for a later seq than Next
	Subscribed bool      // the caller has to call Leave later
	// More says that the stored messages that were asked for are over Join.Limit. Replay
	// is then empty and Next the seq of the first of them, for Hub.Read; End is the
	// channel's next seq. A OneShot subscribes too. EndRead is owed, before Leave.
	More bool
	End  int64
}

// Join subscribes, and appends the stored messages that were asked for to replay. It
// creates the channel if needed and allowed. One sink makes its Joins and Leaves one
// after the other (the server: on its event loop), because it has to know which Leave is
// the last.
//
// Errors: ErrToken, ErrTooManyChannels, ErrTooManySubscribers, ErrMemory; on a follower
// also ErrFetch: call Engine.Fetch first.
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
		h.backlog(c, j, &out)
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

// backlog puts the stored messages into out, or says that they are too many. Channel.mu is
// held.
func (h *Hub) backlog(c *Channel, j *Join, out *Joined) {
	if j.Limit > 0 {
		if first, over := c.ring.over(j.Since, j.Limit); over {
			out.Next, out.More, out.End = first, true, c.next
			h.reads.begin(c, j.Keep)
			return
		}
	}
	out.Replay = c.ring.since(j.Since, out.Replay)
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

// Leave ends a subscription; last says that the sink has no other subscriber of c. See
// Join for who calls it.
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
