package redis

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redissim"
)

// truth is what has really happened in Redis, and what must follow from it.
type truth struct {
	w        *world
	limits   channel.Limits
	channels map[string]*simChannel
	stored   map[string]int           // "channel content" → times
	places   map[string]int           // "channel content" → how many were stored before it
	acked    map[string]int           // "node channel" → the place of the last message that it acknowledged
	beats    map[string]time.Time     // node → its last heartbeat in Redis
	gaps     map[string]time.Duration // node → the longest time between two
	sick     bool                     // a fault is at work, or was a moment ago
	held     bool                     // something has been held back for long, so heartbeats may have been late
	lossy    bool                     // Redis has lost data
	lossAt   time.Time                // when it has last lost some
	unsure   bool                     // it has restarted, so that nobody can be sure that it has not
}

// simChannel is a channel as Redis has had it.
type simChannel struct {
	epoch    string // of its present life; "" when there is none
	messages []simMessage
	closed   map[string]int64 // epoch → next, of lives that were ended by Close
	gone     map[string]bool  // epochs of lives that have ended otherwise

	// Of the present life, even under another epoch:
	line  map[int64]string // its messages by seq, also those that are no longer stored
	once  map[string]int64 // content → seq of those with an id
	ended bool
}

type simMessage struct {
	epoch, content string
	seq            int64
}

func (t *truth) healthy() bool { return !t.sick }

func (t *truth) faulty(why string) {
	if !t.sick {
		t.w.note("fault: %s", why)
	}
	t.sick = true
}

func (t *truth) channel(name string) *simChannel {
	c := t.channels[name]
	if c == nil {
		c = &simChannel{closed: make(map[string]int64), gone: make(map[string]bool)}
		c.begin()
		t.channels[name] = c
	}
	return c
}

// carried is called for each script that Redis has carried out.
func (t *truth) carried(l *redissim.Link, name string, _, args []string, answer any) {
	list, _ := answer.([]any)
	switch name {
	case "publish":
		t.published(args, list)
	case "broadcast":
		for i, one := range list {
			if pair := one.([]any); len(pair) == 2 {
				t.store(args[8+i], pair[0].(string), pair[1].(int64), args[0])
			}
		}
	case "close":
		if len(list) == 3 {
			c := t.channel(args[0])
			c.closed[list[1].(string)], c.epoch = list[2].(int64), ""
		}
	case "join":
		if len(list) > 2 && list[0] == "ok" {
			t.joined(args, list)
		}
	case "heartbeat":
		t.beat(args[0])
	case "sweep":
		if n, _ := answer.(int64); n > 0 {
			t.swept()
		}
	}
}

func (t *truth) store(name, epoch string, seq int64, content string) {
	c := t.channel(name)
	if seq == 1 || c.line == nil {
		c.begin()
	}
	c.epoch, c.line[seq] = epoch, content
	t.stores(c, name, seq, content)
	c.messages = append(c.messages, simMessage{epoch: epoch, seq: seq, content: content})
	t.stored[name+" "+content]++
	t.places[name+" "+content] = len(t.places)
}

// beat notes a heartbeat. With nothing held back, each comes in time.
func (t *truth) beat(node string) {
	last, now := t.beats[node], time.Now()
	t.beats[node] = now
	if last.IsZero() {
		return
	}
	gap := now.Sub(last)
	t.gaps[node] = max(t.gaps[node], gap)
	if gap > 5*time.Second && !t.held {
		t.w.fail("the heartbeats of %s are %v apart, and nothing has held them up", node, gap)
	}
}

// swept notes what a sweep has freed.
func (t *truth) swept() {
	for name, c := range t.channels {
		if c.epoch == "" || t.state(name) != nil {
			continue
		}
		c.gone[c.epoch] = true
		for _, n := range t.w.living() {
			for _, s := range n.subs {
				if s.name == name && s.epoch == c.epoch && !s.moving && t.gaps[n.name] < 5*time.Second &&
					time.Since(t.beats[n.name]) < 5*time.Second && !t.lossy && !t.held {
					t.w.fail("%s was freed, and %s has a subscriber since %v", name, n.name, time.Since(s.joined))
				}
			}
		}
		c.epoch = ""
	}
}

func (t *truth) base(name string) string { return t.w.nodes[0].partition([]byte(name)).base }

func (t *truth) state(name string) map[string]string {
	return t.w.srv.Hash(t.base(name) + "c:" + name)
}

// next is the seq of a channel's next message in Redis, 0 if there is no such channel.
func (t *truth) next(name string) int64 {
	n, _ := strconv.ParseInt(t.state(name)["n"], 10, 64)
	return n
}

// oldest is the seq of the oldest stored message.
func (t *truth) oldest(name string) int64 {
	return t.next(name) - int64(t.w.srv.Len(t.base(name)+"h:"+name))
}

// moved judges that a subscriber was told to go on at from. renamed: and that it misses
// nothing.
func (t *truth) moved(s *simSub, from int64, epoch string, renamed bool) {
	c := t.channel(s.name)
	switch {
	case renamed && !t.lossy && !t.unsure:
		t.w.fail("%s on %s has got another epoch, and Redis has lost nothing", s.name, s.n.name)
	case renamed:
		t.whatItHad(fmt.Sprintf("%s on %s, whose channel has got another epoch,", s.name, s.n.name), c, s.have, epoch)
	case t.lossy:
	case epoch != s.epoch:
		_, closed := c.closed[s.epoch]
		if !closed && !c.gone[s.epoch] {
			t.w.fail("%s on %s was moved to another life, and its own goes on", s.name, s.n.name)
		}
	case s.n.broken() == s.breaks:
		t.w.fail("%s on %s was told of a gap from %d to %d, and its pub/sub has never broken", s.name, s.n.name, s.next, from)
	case s.next < from && s.next >= t.oldest(s.name):
		t.w.fail("%s on %s was told of a gap from %d to %d, and the history begins at %d", s.name, s.n.name, s.next, from, t.oldest(s.name))
	}
	if epoch == s.epoch || renamed {
		s.epoch, s.told = epoch, append(s.told, simGap{s.next, from})
	} else {
		clear(s.have)
		s.epoch, s.from, s.told = epoch, from, nil
	}
	s.breaks, s.next = s.n.broken(), from
	if t.lossy {
		clear(s.got) // seqs may be given out again, to messages that it has had
	}
}

// ended judges that a subscriber was told that its channel was closed.
func (t *truth) ended(s *simSub) {
	c := t.channel(s.name)
	next, closed := c.closed[s.epoch]
	switch {
	case t.lossy:
	case !closed && !c.gone[s.epoch]:
		t.w.fail("%s on %s was ended, and the channel goes on", s.name, s.n.name)
	case closed && s.next < next && s.n.broken() == s.breaks:
		t.w.fail("%s on %s was ended at %d, and the channel at %d", s.name, s.n.name, s.next, next)
	}
}

// answered judges the calls.
func (t *truth) answered() {
	timeout := simTimeout + 2*t.w.rtt + 200*time.Millisecond
	t.w.calls = slices.DeleteFunc(t.w.calls, func(c *simCall) bool {
		c.healthy = c.healthy && t.healthy()
		if c.answers > 1 {
			t.w.fail("%s was answered %d times", c.what, c.answers)
		}
		if c.node.dead { // nobody is there to be told
			return true
		}
		if c.ended.IsZero() {
			if waits := time.Since(c.began); waits > timeout && !c.slow {
				t.w.fail("%s on %s is not answered after %v", c.what, c.node.name, waits)
			}
			return false
		}
		t.judge(c)
		return true
	})
}

func (t *truth) judge(c *simCall) {
	if took := c.ended.Sub(c.began); took > simTimeout+2*t.w.rtt+200*time.Millisecond && !c.slow {
		t.w.fail("%s on %s was answered after %v", c.what, c.node.name, took)
	}
	err := c.result.Err
	if c.healthy && err != nil && errors.Is(err, channel.ErrUnavailable) {
		t.w.fail("%s on %s was refused, and Redis was well: %v", c.what, c.node.name, err)
	}
	if c.content == "" || c.name == "" {
		return
	}
	n := t.stored[c.name+" "+c.content]
	switch {
	case n > 1 && !c.id:
		t.w.fail("%q was stored %d times", c.content, n)
	case err == nil && n == 0 && !(c.result.Duplicate && t.lossy) && c.began.After(t.lossAt):
		t.w.fail("%q was acknowledged and is nowhere", c.content)
	case err == nil && c.onlyIf != 0 && c.result.Seq != c.onlyIf:
		t.w.fail("%q became message %d, not %d", c.content, c.result.Seq, c.onlyIf)
	case err == nil && !c.id:
		t.ordered(c)
	case err != nil && !errors.Is(err, channel.ErrUnavailable) && n > 0 && !c.id:
		t.w.fail("%q was refused with %v and stored", c.content, err)
	}
}

// ordered judges that the messages that a node has acknowledged are in the order of the
// calls, which a lane answers in their order.
func (t *truth) ordered(c *simCall) {
	key, place := c.node.name+" "+c.name, t.places[c.name+" "+c.content]
	if last, any := t.acked[key]; any && place < last {
		t.w.fail("%q was stored before a message that %s was given earlier", c.content, c.node.name)
	}
	t.acked[key] = place
}

// lost forgets what Redis has lost.
func (t *truth) lost() {
	t.lossAt = time.Now()
	clear(t.stored)
	clear(t.places)
	clear(t.acked)
	for name, c := range t.channels {
		c.lost(t.state(name), t.next(name))
	}
}

// rest judges what must be so when all faults have been over for a while.
func (t *truth) rest() {
	for _, c := range t.w.calls {
		t.w.fail("%s on %s is never answered", c.what, c.node.name)
	}
	for _, n := range t.w.living() {
		t.nothingLeft(n)
	}
	for key, n := range t.stored {
		if _, content, _ := strings.Cut(key, " "); n > 1 && !hasID(content) { // else each life may have it
			t.w.fail("%q was stored %d times", key, n)
		}
	}
	for name, c := range t.channels {
		all := 0
		for _, n := range t.w.living() {
			mine := 0
			for _, s := range n.subs {
				if s.name == name {
					mine++
					t.whole(s, c)
				}
			}
			all += mine
			have, _ := strconv.Atoi(t.w.srv.Hash(t.base(name) + "n:" + n.name)[name])
			if have != mine {
				t.w.fail("Redis counts %d subscribers of %s on %s, which has %d", have, name, n.name, mine)
			}
		}
		if st := t.state(name); st != nil && st["s"] != strconv.Itoa(all) {
			t.w.fail("Redis counts %s subscribers of %s in all, there are %d", st["s"], name, all)
		} else if st == nil && all > 0 {
			t.w.fail("%s has %d subscribers, and Redis has no such channel", name, all)
		}
	}
}

// nothingLeft judges that a node has nothing to do and nothing reserved.
func (t *truth) nothingLeft(n *simNode) {
	for queue, k := range n.queues() {
		if k > 0 {
			t.w.fail("%s still has %d in the queue of %s", n.name, k, queue)
		}
	}
	if k, size := n.room.kept, n.queuedBytes.Load(); k != 0 || size != 0 || n.congested.Load() != 0 {
		t.w.fail("%s still keeps %d places and %d bytes", n.name, k, size)
	}
	for _, p := range n.parts {
		for name, m := range p.mirrors {
			if m.waiting != 0 || m.granted != 0 || !m.live || len(m.held) > 0 {
				t.w.fail("%s on %s has %d waiting, %d granted, %d held, live %v", name, n.name, m.waiting, m.granted, len(m.held), m.live)
			}
		}
	}
}

// whole judges that a subscriber has everything.
func (t *truth) whole(s *simSub, c *simChannel) {
	if s.moving {
		t.w.fail("%s on %s is still on the move", s.name, s.n.name)
		return
	}
	if next := t.next(s.name); s.next != next {
		t.w.fail("%s on %s is at %d, Redis at %d", s.name, s.n.name, s.next, next)
	}
	if c.ended {
		t.w.fail("%s on %s is still subscribed, and the channel has ended", s.name, s.n.name)
	}
	if t.lossy {
		t.whatItHad(fmt.Sprintf("%s on %s", s.name, s.n.name), c, s.have, s.epoch)
		return
	}
	for _, m := range c.messages {
		if m.epoch != s.epoch || m.seq < s.from || slices.ContainsFunc(s.told, func(g simGap) bool { return m.seq >= g.from && m.seq < g.to }) {
			continue
		}
		if s.got[m.content] != 1 {
			t.w.fail("%s on %s has %q (%d) %d times", s.name, s.n.name, m.content, m.seq, s.got[m.content])
		}
	}
}
