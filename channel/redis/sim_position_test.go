package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"icomet/channel"
)

// What the simulation does with positions, ids, if_seq and ends, and how it is judged.

// simClient is a client that comes back with its position: at the moment it has none open.
type simClient struct {
	w     *world
	name  string
	epoch uint32
	next  int64
	have  map[int64]string // what it has had, by seq; while its position holds
}

// pollAgain lets a client come back, or a new one come.
func (w *world) pollAgain(n *simNode) {
	var c *simClient
	if k := w.rnd.IntN(8); k < len(w.clients) {
		c = w.clients[k]
	} else {
		c = &simClient{w: w, name: w.aName(), next: int64(w.rnd.IntN(2)), have: make(map[int64]string)}
		w.clients = append(w.clients, c)
	}
	w.note("%s: a client polls %s at %08x-%d", n.name, c.name, c.epoch, c.next)
	n.join(&simJoin{n: n, client: c, j: channel.Join{
		Name: []byte(c.name), Since: c.next, Position: true, Epoch: c.epoch, OneShot: true, Told: true,
	}})
}

// answered judges what the client is told, and gives it what is stored. While its poll was
// under way another one may have been answered: it then keeps that position.
func (c *simClient) answered(n *simNode, j *channel.Join, joined *channel.Joined) {
	if j.Since != c.next || j.Epoch != c.epoch {
		return
	}
	epoch, r := joined.Channel.Epoch(), joined.Recovery
	c.w.note("%s: the client of %s at %08x-%d is told %08x-%d %+v", n.name, c.name, c.epoch, c.next, epoch, joined.First, r)
	if _, live := n.copyOf(c.name); c.epoch != 0 && j.Since > 0 {
		c.w.truth.recovery(c, epoch, joined.First, &r, live)
	}
	if !r.Recovered || epoch != c.epoch || j.Since == 0 {
		clear(c.have)
	}
	c.epoch, c.next = epoch, joined.Next
	for _, m := range joined.Replay {
		c.have[m.Seq] = m.Content
	}
}

// recovery judges what a client with a position is told. A copy that is not live is what
// Redis had before the connection broke: it is put right, and with it whoever has joined.
func (t *truth) recovery(c *simClient, epoch uint32, first int64, r *channel.Recovery, live bool) {
	ch := t.channel(c.name)
	fail := func(why string) {
		t.w.fail("the client of %s at %08x-%d is told %08x-%d, %+v: %s", c.name, c.epoch, c.next, epoch, first, *r, why)
	}
	switch {
	case r.Recovered && (epoch != c.epoch || first != c.next):
		fail("that is not where it was")
	case r.Recovered:
		if live && ch.is(epoch) {
			t.whatItHad("the client of "+c.name, ch, c.have, ch.epoch)
		}
	case r.Reason == channel.ReasonTrimmed && (epoch != c.epoch || first <= c.next || r.Lost != first-c.next):
		fail("the count is wrong")
	case t.lossy || r.Reason == channel.ReasonTrimmed && c.name == "b": // its messages go by themselves
	case r.Reason == channel.ReasonTrimmed && ch.is(epoch) && t.oldest(c.name) <= c.next:
		fail("it is still stored")
	case r.Reason == channel.ReasonEpoch && !ch.over(c.epoch):
		fail("its life goes on")
	case r.Reason == channel.ReasonAhead:
		fail("it has had that")
	}
}

// is reports that its present life has this epoch.
func (c *simChannel) is(epoch uint32) bool { return c.epoch != "" && wireEpoch(c.epoch) == epoch }

// over reports that the life with this epoch has ended.
func (c *simChannel) over(epoch uint32) bool {
	for e := range c.gone {
		if wireEpoch(e) == epoch {
			return true
		}
	}
	for e := range c.closed {
		if wireEpoch(e) == epoch {
			return true
		}
	}
	return false
}

// whatItHad judges that somebody who was told nothing else has had what Redis has had
// under the same seqs.
func (t *truth) whatItHad(who string, c *simChannel, have map[int64]string, epoch string) {
	if epoch != c.epoch {
		return
	}
	for seq, content := range have {
		if is, known := c.line[seq]; known && is != content {
			t.w.fail("%s has had %q as %d, and that is %q", who, content, seq, is)
		}
	}
}

func (c *simChannel) begin() {
	c.line, c.once, c.ended = make(map[int64]string), make(map[string]int64), false
}

// lost is called when Redis has lost its last writes.
func (c *simChannel) lost(state map[string]string, next int64) {
	c.epoch, c.ended = state["e"], state["z"] == "1"
	for seq := range c.line {
		if seq >= next {
			delete(c.line, seq)
		}
	}
	for content, seq := range c.once {
		if seq >= next {
			delete(c.once, content)
		}
	}
}

// hasID reports that messages with this content have an id.
func hasID(content string) bool { return strings.HasPrefix(content, "i") }

// stores judges that a message is stored.
func (t *truth) stores(c *simChannel, name string, seq int64, content string) {
	if c.ended {
		t.w.fail("%q was stored in %s behind its end", content, name)
	}
	if !hasID(content) {
		return
	}
	if before, known := c.once[content]; known {
		t.w.fail("%q was stored in %s as %d, and as %d", content, name, before, seq)
	}
	c.once[content] = seq
}

// published is called for each publish.lua.
func (t *truth) published(args []string, list []any) {
	if len(list) < 3 {
		return
	}
	switch list[0].(int64) {
	case publishStored:
		t.store(args[0], list[1].(string), list[2].(int64), args[1])
		if len(args) > 15 && args[15] == string(kindFinal) {
			t.channel(args[0]).ended = true
		}
	case publishEnded:
		t.channel(args[0]).ended = true
	case publishDuplicate:
		if c := t.channel(args[0]); c.once[args[1]] != list[2].(int64) {
			t.w.fail("%q in %s is taken for message %d, and it is %d", args[1], args[0], list[2], c.once[args[1]])
		}
	}
}

// joined is called for each join.lua that has made or found a channel.
func (t *truth) joined(args []string, list []any) {
	c := t.channel(args[0])
	epoch, made, before := list[1].(string), list[6].(int64), list[10].(string)
	switch {
	case made == 1:
		c.begin()
	case c.epoch == "" || epoch == c.epoch || t.lossy:
	case t.unsure && before == c.epoch:
		c.gone[before] = true
	default:
		t.w.fail("%s has got epoch %s instead of %s (%s), and Redis has lost nothing", args[0], epoch, c.epoch, before)
	}
	c.epoch = epoch
}

// finished judges that a subscriber was told that its channel has ended before seq.
func (t *truth) finished(s *simSub, seq int64) {
	c := t.channel(s.name)
	if s.next != seq {
		t.w.fail("%s on %s is at %d when its channel ends before %d", s.name, s.n.name, s.next, seq)
	}
	if !t.lossy && c.epoch == s.epoch && !c.ended {
		t.w.fail("%s on %s was told that its channel has ended", s.name, s.n.name)
	}
}

// publishWithID publishes a new message with an id, or repeats one, perhaps on another node.
func (w *world) publishWithID() {
	name := w.aName()
	for range 1 + w.rnd.IntN(3) {
		n, k := w.pick(), max(0, w.next-w.rnd.IntN(10))
		if w.rnd.IntN(2) == 0 {
			k = w.next
			w.next++
		}
		content := "i" + strconv.Itoa(k)
		w.note("%s publishes %s to %s, with an id", n.name, content, name)
		c := w.call(n, "publish "+content, func(d channel.Done) {
			n.Publish(&channel.Publication{Name: []byte(name), Content: content, ID: content}, d)
		})
		c.content, c.name, c.id = content, name, true
	}
}

// broadcastWithID does the same to all channels.
func (w *world) broadcastWithID() {
	content := "ib" + strconv.Itoa(w.next-w.next%20)
	n := w.pick()
	w.note("%s broadcasts %s, with an id", n.name, content)
	w.call(n, "broadcast", func(d channel.Done) { n.Broadcast(content, content, d) }).slow = true
}

// publishIf publishes a message for a seq of its own.
func (w *world) publishIf() {
	n, name, content := w.pick(), w.aName(), strconv.Itoa(w.next)
	w.next++
	p := &channel.Publication{Name: []byte(name), Content: content, OnlyIf: true, IfSeq: max(1, w.truth.next(name)) + int64(w.rnd.IntN(4)/3)}
	if epoch := w.truth.channel(name).epoch; epoch != "" && w.rnd.IntN(2) == 0 {
		p.IfEpoch = wireEpoch(epoch)
	}
	w.note("%s publishes %s to %s, if it is %08x-%d", n.name, content, name, p.IfEpoch, p.IfSeq)
	c := w.call(n, fmt.Sprintf("publish %s if", content), func(d channel.Done) { n.Publish(p, d) })
	c.content, c.name, c.onlyIf = content, name, p.IfSeq
}

// endOne ends a channel, with a last message or without.
func (w *world) endOne() {
	n, name := w.pick(), simNames[len(simNames)-1]
	p := &channel.Publication{Name: []byte(name), End: true, NoContent: w.rnd.IntN(2) == 0}
	if !p.NoContent {
		p.Content = "last" + strconv.Itoa(w.next)
		w.next++
	}
	w.note("%s ends %s with %q", n.name, name, p.Content)
	w.call(n, "end", func(d channel.Done) { n.Publish(p, d) })
}

func (n *simNode) forgetSub(s *simSub) {
	n.subs = slices.DeleteFunc(n.subs, func(other *simSub) bool { return other == s })
}

func (n *simNode) endSub(s *simSub) {
	s.closed = true
	n.leaveHub(s.ch, s)
	n.forgetSub(s)
}

// unsubscribe ends a subscription from the client's side.
func (n *simNode) unsubscribe(i int) {
	s := n.subs[i]
	if s.moving {
		return
	}
	n.leaveHub(s.ch, s)
	n.subs = slices.Delete(n.subs, i, i+1)
}
