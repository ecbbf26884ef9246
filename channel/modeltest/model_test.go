package modeltest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"icomet/channel"
)

// checksVariable is how many random histories are tried.
const checksVariable = "ICOMET_MODEL_CHECKS"

// freedWithin is how late after its deadline a channel may be freed: a second, and the
// age of the hub's own time.
const freedWithin = 1300 * time.Millisecond

// modelChannel is the model of a channel: DESIGN.md, "Sequence rules" and "Expiry".
type modelChannel struct {
	name     string
	next     int64
	kept     []channel.Message
	token    string
	subs     map[*subscriber]*sink
	deadline time.Duration // end of its life while it has no subscriber
}

// world is a hub with its sinks, and the model of it.
type world struct {
	hub    *channel.Hub
	limits channel.Limits
	sinks  []*sink
	now    time.Duration
	model  map[string]*modelChannel
	sent   int
}

func TestModel(t *testing.T) {
	checks := 1000
	if n, err := strconv.Atoi(os.Getenv(checksVariable)); err == nil {
		checks = n
	}
	if err := flag.Set("rapid.checks", strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"":           w.check,
			"subscribe":  w.subscribe,
			"subscribe2": w.subscribe, // most operations are subscribes and publishes
			"publish":    w.publish,
			"publish2":   w.publish,
			"broadcast":  w.broadcast,
			"clear":      w.clear,
			"close":      w.close,
			"sign":       w.sign,
			"disconnect": w.disconnect,
			"run":        w.run,
			"pass":       w.pass,
		})
		for _, s := range w.sinks {
			s.run(t)
			if s.asked != s.woken || s.stray > 0 {
				t.Fatalf("sink %d wanted %d wake-ups, got %d; %d messages for nobody", s.number, s.asked, s.woken, s.stray)
			}
		}
	})
}

func newWorld(t *rapid.T) *world {
	w := &world{model: make(map[string]*modelChannel), limits: channel.Limits{
		MaxChannels:    rapid.SampledFrom([]int{3, 100}).Draw(t, "max channels"),
		MaxSubscribers: rapid.SampledFrom([]int{2, 100}).Draw(t, "max subscribers"),
		BufferSize:     rapid.IntRange(1, 6).Draw(t, "buffer size"),
		Timeout:        rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second}).Draw(t, "timeout"),
	}}
	w.hub = channel.NewHub(w.limits)
	inbox := rapid.SampledFrom([]int{0, 2, 4}).Draw(t, "inbox limit")
	for range 3 {
		s := &sink{hub: w.hub, limit: inbox}
		s.number = w.hub.AddSink(s)
		w.sinks = append(w.sinks, s)
	}
	return w
}

// check compares the totals.
func (w *world) check(t *rapid.T) {
	if n := w.hub.Channels(); n != len(w.model) {
		t.Fatalf("%d channels, want %d", n, len(w.model))
	}
	for name, c := range w.model {
		if n := w.hub.ChannelSubscribers([]byte(name)); n != len(c.subs) {
			t.Fatalf("%s has %d subscribers, want %d", name, n, len(c.subs))
		}
		if !w.hub.Alive([]byte(name)) {
			t.Fatalf("%s is not alive", name)
		}
	}
}

func drawName(t *rapid.T) string {
	return "c" + strconv.Itoa(rapid.IntRange(0, 4).Draw(t, "channel"))
}

// obtain returns the model's channel; nil when the limit is reached.
func (w *world) obtain(name string) *modelChannel {
	c := w.model[name]
	if c == nil && len(w.model) < w.limits.MaxChannels {
		c = &modelChannel{name: name, next: 1, subs: make(map[*subscriber]*sink)}
		w.model[name] = c
	}
	return c
}

func (w *world) extend(c *modelChannel, d time.Duration) {
	c.deadline = max(c.deadline, w.now+d)
}

// store is the effect of a publish on the model.
func (w *world) store(c *modelChannel, m channel.Message) {
	m.Seq = c.next
	c.next++
	c.kept = append(c.kept, m)
	c.kept = c.kept[max(0, len(c.kept)-w.limits.BufferSize):]
	for sub := range c.subs {
		sub.want = append(sub.want, m)
	}
}

func (w *world) content() string {
	w.sent++
	return fmt.Sprint("m", w.sent)
}

func (w *world) publish(t *rapid.T) {
	name, content := drawName(t), w.content()
	c := w.obtain(name)
	var want error
	switch {
	case c == nil:
		want = channel.ErrTooManyChannels
	case w.anyFull(c):
		want = channel.ErrOverloaded
	}
	out, err := w.hub.Publish(&channel.Publication{Name: []byte(name), Content: content})
	if !errors.Is(err, want) {
		t.Fatalf("publish to %s: %v, want %v", name, err, want)
	}
	if want == nil {
		if out.Seq != c.next {
			t.Fatalf("publish to %s: seq %d, want %d", name, out.Seq, c.next)
		}
		w.store(c, channel.Message{Type: channel.Data, Content: content})
		w.extend(c, w.limits.Timeout)
	}
}

func (w *world) anyFull(c *modelChannel) bool {
	for _, s := range c.subs {
		if s.Full() {
			return true
		}
	}
	return false
}

// broadcast lets the sinks take what waits during its pauses, as the server's loops do.
// They deliver it later, since the order between channels does not matter.
func (w *world) broadcast(t *rapid.T) {
	content := w.content()
	err := w.hub.Broadcast(content, "", func() bool {
		for _, s := range w.sinks {
			s.take()
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.model {
		w.store(c, channel.Message{Type: channel.Broadcast, Content: content})
	}
}

func (w *world) clear(t *rapid.T) {
	name := drawName(t)
	next, err := w.hub.Clear([]byte(name))
	if c := w.wantKnown(t, name, next, err); c != nil {
		c.kept = nil
	}
}

// wantKnown compares the result of Clear or Close.
func (w *world) wantKnown(t *rapid.T, name string, next int64, err error) *modelChannel {
	c := w.model[name]
	switch {
	case c == nil && !errors.Is(err, channel.ErrNotFound):
		t.Fatalf("unknown %s: %v", name, err)
	case c != nil && (err != nil || next != c.next):
		t.Fatalf("%s: next %d, %v, want %d", name, next, err, c.next)
	}
	return c
}

func (w *world) close(t *rapid.T) {
	name := drawName(t)
	next, err := w.hub.Close([]byte(name))
	if c := w.wantKnown(t, name, next, err); c != nil {
		for sub := range c.subs {
			sub.want = append(sub.want, channel.Message{Type: channel.Closed, Seq: next})
		}
		delete(w.model, name)
	}
}

func (w *world) sign(t *rapid.T) {
	name := drawName(t)
	wait := rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "expires")
	c := w.obtain(name)
	signed, err := w.hub.Sign([]byte(name), wait)
	if c == nil {
		if !errors.Is(err, channel.ErrTooManyChannels) {
			t.Fatalf("sign %s: %v", name, err)
		}
		return
	}
	seq := c.next
	if len(c.kept) > 0 {
		seq = c.kept[0].Seq
	}
	if err != nil || signed.Seq != seq || len(signed.Token) != 32 || c.token != "" && signed.Token != c.token {
		t.Fatalf("sign %s: %+v, %v, want seq %d and token %q", name, signed, err, seq, c.token)
	}
	c.token = signed.Token
	w.extend(c, wait)
}

func (w *world) run(t *rapid.T) {
	rapid.SampledFrom(w.sinks).Draw(t, "sink").run(t)
}
