package channel

// Join is a request to subscribe.
type Join struct {
	Name  []byte
	Since int64 // the first seq wanted; 0 or less: from now
	// Last, if it is above 0, asks for that many of the newest stored messages instead.
	Last int64
	// Position asks for Joined.Recovery. Epoch is the one that Since belongs to; 0: the
	// subscriber has none yet.
	Position bool
	Epoch    uint32
	// Told says that the subscriber is told what Joined.Recovery says. A OneShot then does not
	// wait when it has no epoch yet, or was not recovered.
	Told bool
	Sink int // number of the sink that has the subscriber
	// Auth demands that the channel exists and that Token is its token; else ErrToken.
	Auth  bool
	Token []byte
	// Known demands that the channel exists; else ErrToken. Existing does the same with
	// ErrNotFound.
	Known, Existing bool
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
	Channel  *Channel
	Replay   []Message // the argument of Join, with the stored messages appended
	Next     int64     // the seq of the first message that the sink's queue brings
	First    int64     // the seq of the first message that follows, stored or not
	Recovery Recovery  // with Join.Position
	// Ended says that the channel has ended: nothing follows but what is stored. Without More
	// it does not become a subscriber.
	Ended      bool
	TellNext   bool // the subscriber has to be told Next: it asked from now, or for a later seq than Next
	Subscribed bool // the caller has to call Leave later
	// More says that the stored messages that were asked for are over Join.Limit. Replay
	// is then empty and Next the seq of the first of them, for Hub.Read; End is the
	// channel's next seq. A OneShot subscribes too. EndRead is owed, before Leave.
	More bool
	End  int64
}

// Recovery says whether a subscriber that had everything before its position misses
// something.
type Recovery struct {
	Recovered bool   // it certainly misses nothing
	Lost      int64  // how many messages it misses; LostUnknown: nobody can know
	Reason    Reason // why it was not recovered
}

// LostUnknown is the Recovery.Lost of who may have missed any number of messages.
const LostUnknown = -1

// Reason says why a subscriber was not recovered, in the words of the wire.
type Reason string

// The reasons.
const (
	ReasonTrimmed Reason = "trimmed" // the same epoch, but what follows is no longer stored
	ReasonEpoch   Reason = "epoch"   // the position is of another life of the channel, or of an unknown one
	ReasonAhead   Reason = "ahead"   // the same epoch, and a seq that the channel has not reached
)

// Join subscribes, and appends the stored messages that were asked for to replay. It
// creates the channel if needed and allowed. One sink makes its Joins and Leaves one
// after the other (the server: on its event loop), because it has to know which Leave is
// the last.
//
// Errors: ErrToken, ErrNotFound, ErrTooManyChannels, ErrTooManySubscribers, ErrMemory; on a
// follower also ErrFetch: call Engine.Fetch first.
func (h *Hub) Join(j *Join, replay []Message) (Joined, error) {
	c, err := h.obtainFor(j)
	if err != nil {
		return Joined{}, err
	}
	if int(c.subs) >= h.classLocked(c).MaxSubscribers && !j.Fetched {
		h.settle(c)
		return Joined{}, ErrTooManySubscribers
	}
	h.noteLocked(c)
	h.expireLocked(c)
	since, recovery := c.judge(j)
	out := Joined{Channel: c, Next: c.next, Replay: replay, Recovery: recovery, Ended: c.ended}
	switch {
	case since <= 0 || since > c.next:
		out.TellNext = true
	case since < c.next:
		h.backlog(c, j, since, &out)
	}
	out.First = c.next
	if out.More {
		out.First = out.Next
	} else if len(out.Replay) > len(replay) {
		out.First = out.Replay[len(replay)].Seq
	}
	if !out.More && (c.ended || j.OneShot && out.answers(j, len(replay))) {
		h.used(c)
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

// answers reports that there is something to answer a OneShot with at once. had is the
// length of the replay before.
func (out *Joined) answers(j *Join, had int) bool {
	return out.TellNext || len(out.Replay) > had || j.Told && (j.Epoch == 0 || !out.Recovery.Recovered)
}

// judge is where the subscriber starts (0: from now), and whether it misses something.
// Channel.mu is held.
func (c *Channel) judge(j *Join) (since int64, r Recovery) {
	oldest, stored := c.ring.oldest()
	if !stored {
		oldest = c.next
	}
	lost := func(since, n int64, why Reason) (int64, Recovery) { return since, Recovery{Lost: n, Reason: why} }
	switch {
	case j.Last > 0:
		return max(oldest, c.next-min(j.Last, c.next)), Recovery{Recovered: true}
	case j.Since <= 0 || !j.Position:
		return j.Since, Recovery{Recovered: true}
	case j.Epoch == 0 && j.Since == 1:
		return 1, Recovery{Recovered: true}
	case j.Epoch == 0:
		return lost(min(j.Since, c.next), LostUnknown, ReasonEpoch)
	case j.Epoch != c.epoch:
		return lost(1, LostUnknown, ReasonEpoch)
	case j.Since > c.next:
		return lost(c.next, LostUnknown, ReasonAhead)
	case j.Since < oldest:
		return lost(j.Since, oldest-j.Since, ReasonTrimmed)
	}
	return j.Since, Recovery{Recovered: true}
}

// backlog puts the stored messages from since on into out, or says that they are too many.
// Channel.mu is held.
func (h *Hub) backlog(c *Channel, j *Join, since int64, out *Joined) {
	if j.Limit > 0 {
		if first, over := c.ring.over(since, j.Limit); over {
			out.Next, out.More, out.End = first, true, c.next
			h.reads.begin(c, j.Keep)
			return
		}
	}
	out.Replay = c.ring.since(since, out.Replay)
}

func (h *Hub) obtainFor(j *Join) (*Channel, error) {
	if h.follow != nil {
		return h.followedFor(j)
	}
	if !j.Auth && !j.Known && !j.Existing {
		return h.obtain(j.Name)
	}
	c := h.lookup(j.Name)
	switch {
	case c != nil:
	case j.Existing && !j.Auth:
		return nil, ErrNotFound
	default:
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
		h.used(c)
	}
	h.noteLocked(c)
	h.settle(c)
	h.subscribers.Add(-1)
}
