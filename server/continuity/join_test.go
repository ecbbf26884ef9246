package continuity

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// drawEpoch is the present one, an old one, another channel's or a foreign one.
func (w *world) drawEpoch(t *rapid.T, c *channelOf) string {
	var known []string
	for _, o := range w.channels {
		for _, l := range o.old {
			known = append(known, l.epoch)
		}
		if o.life != nil && o.life.epoch != "" {
			known = append(known, o.life.epoch)
		}
	}
	n := rapid.IntRange(0, 9).Draw(t, "epoch")
	switch {
	case n < 6 && c.life != nil:
		return c.life.epoch
	case n < 8 && len(c.old) > 0:
		return c.old[len(c.old)-1].epoch
	case n < 9 && len(known) > 0:
		return rapid.SampledFrom(known).Draw(t, "known epoch")
	}
	return rapid.SampledFrom([]string{"00000001", "9f86d081", "ffffffff"}).Draw(t, "foreign epoch")
}

// drawAsk is a subscriber with any position.
func (w *world) drawAsk(t *rapid.T, c *channelOf) *ask {
	a := &ask{kind: rapid.SampledFrom(servertest.ListenerKinds).Draw(t, "transport"), last: -1, idSeq: -1}
	l := c.life
	if l == nil && len(c.old) > 0 {
		l = c.old[len(c.old)-1] // it comes back to what is not there any more
	}
	if l == nil {
		l = newLife(c.name)
	}
	a.seq = rapid.SampledFrom([]int64{-1, 0, 1, 2, l.oldest - 1, l.oldest, l.next - 1, l.next, l.next, l.next, l.next + 1, l.next + 7}).Draw(t, "seq")
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0: // as before positions were there
	case 1:
		a.hasEpoch = true
	default:
		a.hasEpoch, a.epoch = true, w.drawEpoch(t, c)
	}
	if rapid.IntRange(0, 9).Draw(t, "with last") == 9 {
		a.last = rapid.Int64Range(0, 12).Draw(t, "last")
	}
	if a.sse() && a.seq > 0 && rapid.Bool().Draw(t, "by event id") {
		a.idSeq = a.seq - 1
		if rapid.IntRange(0, 3).Draw(t, "position as id") > 0 {
			a.idEpoch = w.drawEpoch(t, c)
		}
		a.seq = rapid.Int64Range(0, 3).Draw(t, "seq of the URL")
		if rapid.IntRange(0, 3).Draw(t, "and opted in") > 0 {
			a.hasEpoch, a.epoch = false, ""
		}
	}
	return a
}

// request is how it asks.
func (a *ask) request(t *rapid.T, name string) (query, eventID string) {
	query = "cname=" + name
	if a.seq != 0 || rapid.Bool().Draw(t, "say 0") {
		query += "&seq=" + itoa(a.seq)
	}
	if a.hasEpoch {
		query += "&epoch=" + a.epoch
	}
	if a.last >= 0 {
		query += "&last=" + itoa(a.last)
	}
	switch {
	case a.idSeq >= 0:
		if eventID = itoa(a.idSeq); a.idEpoch != "" {
			eventID = a.idEpoch + "-" + eventID
		}
		if rapid.IntRange(0, 3).Draw(t, "id in the URL") == 3 {
			query += "&" + rapid.SampledFrom([]string{"lastEventId", "last_event_id", "Last-Event-ID"}).Draw(t, "parameter") + "=" + url.QueryEscape(eventID)
			eventID = ""
		}
	case a.sse() && rapid.IntRange(0, 5).Draw(t, "no id") == 5:
		eventID = rapid.SampledFrom([]string{"x", "9F86D081-3", "9f86d081-", "9f86d08-1", "9f86d081-x", "1-2-3"}).Draw(t, "junk")
	}
	return query, eventID
}

func (w *world) subscribe(t *rapid.T) {
	c := w.pick(t)
	w.join(t, c, w.drawAsk(t, c))
}

// join subscribes and writes down what comes first.
func (w *world) join(t *rapid.T, c *channelOf, a *ask) {
	if a.polls() {
		w.counted(t)
	}
	s, oldest := w.ask(t, c, a), int64(1)
	if c.life != nil {
		oldest = c.life.oldest
	}
	if c.life == nil && a.raw() {
		w.refused(t, c, s)
		w.must(t, "200 {}\n", "/check", "cname", c.name)
		return
	}
	if c.life == nil {
		w.probe(t, c, newLife(c.name))
	}
	l := c.life
	if l.nothing(a) {
		w.refused(t, c, s)
		return
	}
	for seq := oldest; seq <= l.certain(time.Now()); seq++ {
		s.cases = append(s.cases, seen{first: seenAs(a.kind, l.first(a, seq))})
	}
	w.enter(t, c, s)
	if l.ended {
		w.finish(c, clean, all)
	}
}

// synced waits until one of several nodes knows what the other nodes have answered for: it
// hears of that a moment later.
func (w *world) synced(t *rapid.T, c *channelOf, node node) {
	if len(w.nodes()) > 1 {
		w.heard(t, c, node)
	}
}

// heard waits until a node knows all that the model has of a channel.
func (w *world) heard(t *rapid.T, c *channelOf, node node) {
	w.until(t, func() error {
		if c.life == nil {
			return unknown(c, node)
		}
		l, err := servertest.Listen(node.front, "sub", "cname="+c.name+"&epoch=&last=1000000", "")
		if err != nil {
			return err
		}
		defer l.Close()
		es, err := l.Events()
		if err != nil {
			return err
		}
		for seq := c.life.oldest; seq <= c.life.certain(time.Now()); seq++ {
			a := &ask{kind: "sub", hasEpoch: true, last: 1000000, idSeq: -1}
			if slices.Equal(es, seenAs("sub", c.life.first(a, seq))) {
				return nil
			}
		}
		return fmt.Errorf("%s has %s of %s", node.front, show(es), c)
	})
}

// unknown fails unless the node says that there is no such channel.
func unknown(c *channelOf, node node) error {
	l, err := servertest.Listen(node.front, "rawstream", "cname="+c.name, "")
	if err != nil {
		return err
	}
	defer l.Close()
	if l.Status != 204 {
		return fmt.Errorf("%s knows %s, which is gone: %d", node.front, c.name, l.Status)
	}
	return nil
}

// ask sends a subscriber's request.
func (w *world) ask(t *rapid.T, c *channelOf, a *ask) *sub {
	i := rapid.IntRange(0, len(w.nodes())-1).Draw(t, "node")
	w.synced(t, c, w.nodes()[i])
	query, eventID := a.request(t, c.name)
	l, err := servertest.Listen(w.nodes()[i].front, a.kind, query, eventID)
	if err != nil {
		t.Fatal(err)
	}
	s := &sub{Listener: l, node: i, asked: fmt.Sprintf("%s?%s, event id %q, of %s", a.kind, query, eventID, c)}
	w.note("%s at %s: %d", s.asked, w.nodes()[i].front, s.Status)
	return s
}

// refused is the answer for who is to come no more.
func (w *world) refused(t *rapid.T, c *channelOf, s *sub) {
	defer s.Close()
	if s.Status != 204 {
		t.Fatalf("%s: status %d, want 204", s.asked, s.Status)
	}
}

// enter makes s a subscriber of c.
func (w *world) enter(t *rapid.T, c *channelOf, s *sub) {
	if s.Status != 200 && !s.Polls() {
		t.Fatalf("%s: status %d", s.asked, s.Status)
	}
	c.subs = append(c.subs, s)
	s.listen()
	if s.Polls() {
		w.counted(t)
	}
}
