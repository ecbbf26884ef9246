package e2e

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"icomet/server/servertest"
)

// modelSub is a subscriber: what it got and what it should have.
type modelSub struct {
	f     *servertest.Subscriber
	kind  string
	want  []servertest.Message
	polls bool
	asks  bool // a poll is out
	cut   bool // it may be cut off as a slow reader
	ends  bool // its channel was closed
	gone  bool // it has hung up

	mu    sync.Mutex
	gate  chan struct{} // not nil: it does not read until this is closed
	got   []servertest.Message
	err   error // why it ended
	ended bool
	done  sync.WaitGroup
}

var modelKinds = []string{"stream", "stream10", "sse", "iframe", "poll", "sub"}

// subscribe comes with any seq, with and without the right token.
func (w *modelWorld) subscribe(t *rapid.T) {
	name, kind := w.drawName(t), rapid.SampledFrom(modelKinds).Draw(t, "transport")
	seq := rapid.Int64Range(-1, 10).Draw(t, "seq")
	c := w.model[name]
	if w.cfg.Front.Auth == "token" && (c == nil || rapid.IntRange(0, 4).Draw(t, "wrong token") == 0) {
		w.refused(t, name, kind, seq)
		return
	}
	if c == nil {
		c = &modelChannel{name: name, next: 1}
		w.model[name] = c
		w.keep(t, c)
	}
	c.subs = append(c.subs, w.join(t, c, kind, seq))
}

// refused has no token or a wrong one: it is told so in-band, and then it is over.
func (w *modelWorld) refused(t *rapid.T, name, kind string, seq int64) {
	token := rapid.SampledFrom([]string{"", "0123456789abcdef0123456789abcdef"}).Draw(t, "token")
	f, err := servertest.Subscribe(w.s.front, kind, name+"&token="+token, seq)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ms, err := f.Messages()
	if want := (servertest.Message{Type: "401", Cname: name, Content: "Token error"}); err != nil || len(ms) != 1 || ms[0] != want {
		t.Fatalf("%s without a token gets %v, %v", kind, ms, err)
	}
	if kind == "poll" || kind == "sub" {
		return
	}
	if ms, err := f.Messages(); err != io.EOF {
		t.Fatalf("%s gets %v, %v after a 401", kind, ms, err)
	}
}

// join subscribes and writes down what comes first (as channel/DESIGN.md says).
func (w *modelWorld) join(t *rapid.T, c *modelChannel, kind string, seq int64) *modelSub {
	// Who takes little at a time is cut off sooner when it stops reading. It has to be
	// so from the start: TCP is very slow with a window that has shrunk.
	rcvbuf := 0
	if rapid.Bool().Draw(t, "narrow") {
		rcvbuf = 4096
	}
	nc, err := servertest.DialNarrow(w.s.front, rcvbuf)
	if err != nil {
		t.Fatal(err)
	}
	f, err := servertest.SubscribeOn(nc, kind, c.name+"&token="+c.token, seq)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(10 * patience))
	sub := &modelSub{f: f, kind: kind, polls: kind == "poll" || kind == "sub"}
	w.all = append(w.all, sub)
	if sub.polls {
		w.ask(t, sub, c)
		return sub
	}
	sub.begin(c, seq)
	replay := 0
	// What it begins with is always taken, but may leave no room for the next message.
	for _, m := range sub.want {
		if replay += len(m.Content); replay > int(w.cfg.Limits.OutboundBuffer)/2 {
			sub.cut = true
		}
	}
	sub.done.Go(sub.readOn)
	return sub
}

// begin says whether there was something to get at once.
func (sub *modelSub) begin(c *modelChannel, seq int64) bool {
	before := len(sub.want)
	if seq <= 0 || seq > c.next {
		sub.want = append(sub.want, servertest.Message{Type: "next_seq", Cname: c.name, Seq: c.next})
		return true
	}
	for _, m := range c.kept {
		if m.Seq >= seq {
			sub.expect(m)
		}
	}
	return len(sub.want) > before
}

// expect tells the model of one more message; a poll that is not out misses it.
func (sub *modelSub) expect(m servertest.Message) {
	sub.want = append(sub.want, m)
	if m.Type == "broadcast" {
		sub.want = append(sub.want, servertest.Message{Type: "next_seq", Cname: m.Cname, Seq: m.Seq + 1})
	}
}

func (sub *modelSub) readOn() {
	for {
		sub.mu.Lock()
		gate := sub.gate
		sub.mu.Unlock()
		if gate != nil {
			<-gate
		}
		ms, err := sub.f.Messages()
		sub.mu.Lock()
		sub.got = append(sub.got, ms...)
		if err != nil {
			sub.err, sub.ended = err, true
		}
		sub.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// askedCallbacks are what a poll may ask for: any, none, an empty one, which is bare JSON.
var askedCallbacks = rapid.OneOf(
	rapid.StringMatching(`&cb=[A-Za-z_$][A-Za-z0-9_$.]{0,127}`), rapid.SampledFrom([]string{"", "&cb="}),
)

// ask sends a poll, which is answered at once or waits.
func (w *modelWorld) ask(t *rapid.T, sub *modelSub, c *modelChannel) {
	sub.f.Callback = askedCallbacks.Draw(t, "callback")
	sub.want, sub.got, sub.asks = nil, nil, true
	sub.begin(c, sub.f.Next)
	before := w.requests()
	if sub.err = sub.f.Request(); sub.err != nil {
		return
	}
	// What is published from here on comes behind it.
	_ = servertest.Poll(patience, func() error {
		if w.requests() == before {
			return errors.New("the poll has not arrived")
		}
		return nil
	})
	w.s.pauseAll()()
	sub.done.Go(func() {
		text, err := sub.f.PollAnswer()
		var ms []servertest.Message
		if err == nil {
			ms, err = sub.f.ParsePoll(text)
		}
		sub.mu.Lock()
		defer sub.mu.Unlock()
		sub.got, sub.err, sub.ended = ms, err, true
	})
}

func (w *modelWorld) requests() (n uint64) {
	for _, c := range w.s.reactor.Counters() {
		n += c.Requests.Load()
	}
	return n
}

// poll asks again on a kept connection.
func (w *modelWorld) poll(t *rapid.T) {
	for _, c := range w.model {
		for _, sub := range c.subs {
			if sub.polls && !sub.asks {
				w.ask(t, sub, c)
			}
		}
	}
}

// settle waits until everybody has got what the model says.
func (w *modelWorld) settle(t *rapid.T) {
	for _, sub := range w.all {
		sub.wake()
		if err := servertest.Poll(patience, sub.compare); err != nil {
			t.Fatalf("%s of %s: %v\nclosed: %v", sub.kind, sub.f.Cname, err, w.s.Stats().Closed)
		}
		if sub.gone {
			sub.hangUp()
		}
	}
	for _, c := range w.model {
		c.subs = slices.DeleteFunc(c.subs, func(sub *modelSub) bool { return sub.gone })
	}
	w.all = slices.DeleteFunc(w.all, func(sub *modelSub) bool { return sub.gone })
}

// compare fails while something is missing, and for ever when something is wrong.
func (sub *modelSub) compare() error {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	switch {
	case sub.gone:
		return nil
	case len(sub.got) > len(sub.want) || !slices.Equal(sub.got, sub.want[:len(sub.got)]):
		return fmt.Errorf("got %.300v, want %.300v", sub.got, sub.want)
	case sub.polls:
		return sub.comparePoll()
	case sub.cut && sub.ended && len(sub.got) < len(sub.want):
		sub.gone = true // it was cut off, as it may be: it has a beginning of all, in order
		return nil
	case len(sub.got) < len(sub.want) || sub.ends && !sub.ended:
		return fmt.Errorf("got %d of %d messages, ended %v (%v), want %v", len(sub.got), len(sub.want), sub.ended, sub.err, sub.ends)
	case sub.ended && !sub.ends:
		return fmt.Errorf("has ended: %w", sub.err)
	case sub.ended && sub.err != io.EOF:
		return fmt.Errorf("ended with %w", sub.err)
	}
	sub.gone = sub.ended
	sub.cut = sub.gate != nil // it has caught up
	return nil
}

// comparePoll: an answer has one or more of what came after it was asked for.
func (sub *modelSub) comparePoll() error {
	switch {
	case !sub.asks || len(sub.want) == 0 && !sub.ended:
		return nil
	case sub.cut && sub.ended && sub.err != nil:
		sub.gone = true // a long answer was cut off: more was published than is kept for it
		return nil
	case !sub.ended || sub.err != nil || len(sub.got) == 0:
		return fmt.Errorf("a poll got %v, ended %v (%v), want some of %.300v", sub.got, sub.ended, sub.err, sub.want)
	}
	last := sub.got[len(sub.got)-1]
	if sub.f.Next = last.Seq; last.Type != "next_seq" {
		sub.f.Next++
	}
	sub.asks, sub.ended, sub.cut = false, false, false
	sub.gone = sub.ends
	return nil
}

// slow lets a reader stop reading; it can be cut off then, when much is published.
func (w *modelWorld) slow(t *rapid.T) {
	for _, c := range w.model {
		for _, sub := range c.subs[1:] {
			if sub.polls || sub.gate != nil || !rapid.Bool().Draw(t, "slow") {
				continue
			}
			sub.mu.Lock()
			sub.gate, sub.cut = make(chan struct{}), true
			sub.mu.Unlock()
		}
	}
}

// wake lets a slow one read again.
func (sub *modelSub) wake() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.gate != nil {
		close(sub.gate)
		sub.gate = nil
	}
}

// flood publishes so much to a channel that who does not read, and who is in the middle of
// a long answer, may be cut off. The others read it all before more comes.
func (w *modelWorld) flood(t *rapid.T) {
	name := w.drawName(t)
	c := w.model[name]
	if c == nil {
		return
	}
	for _, sub := range c.subs {
		sub.mu.Lock()
		sub.cut = sub.cut || sub.polls && sub.asks
		sub.mu.Unlock()
	}
	for range 6 {
		w.publishTo(t, name, w.content(t)+strings.Repeat("x", 60<<10))
		for _, sub := range c.subs {
			if sub.cut || sub.polls {
				continue
			}
			if err := servertest.Poll(patience, sub.compare); err != nil {
				t.Fatalf("%s of %s: %v", sub.kind, name, err)
			}
		}
	}
}

func (w *modelWorld) disconnect(t *rapid.T) {
	name := w.drawName(t)
	c := w.model[name]
	if c == nil || len(c.subs) < 2 {
		return
	}
	i := rapid.IntRange(1, len(c.subs)-1).Draw(t, "subscriber")
	sub := c.subs[i]
	if rapid.Bool().Draw(t, "reset") {
		_ = sub.f.SetLinger(0)
	}
	sub.hangUp()
	c.subs = slices.Delete(c.subs, i, i+1)
}

// hangUp ends a subscriber from its side.
func (sub *modelSub) hangUp() {
	sub.wake()
	_ = sub.f.Close()
	sub.done.Wait()
	sub.gone = true
}

// end closes what is left: everybody gets that, and nothing more.
func (w *modelWorld) end(t *rapid.T) {
	w.settle(t)
	for name, c := range w.model {
		// Nothing can come behind this one: what was too much would be before it.
		w.answered(t, name, w.call(t, "/close", "cname", name))
		for _, sub := range c.subs {
			if sub.ends = true; !sub.polls || sub.asks {
				sub.expect(servertest.Message{Type: "close", Cname: name, Seq: c.next})
			}
		}
		delete(w.model, name)
	}
	w.settle(t)
}

func (w *modelWorld) hangUp() {
	for _, sub := range w.all {
		sub.hangUp()
	}
	// The next history begins with none of this one's channels.
	_ = servertest.Poll(patience, func() error {
		if n := w.s.frontConns(); n > 0 {
			return errors.New("connections are left")
		}
		return nil
	})
	for name := range w.model {
		_, _ = w.s.hub.Close([]byte(name))
	}
	_ = servertest.Poll(5*time.Second, func() error {
		if n := w.s.hub.Channels(); n > 0 {
			return fmt.Errorf("%d channels", n)
		}
		return nil
	})
}
