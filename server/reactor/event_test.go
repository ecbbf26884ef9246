package reactor

import (
	"context"
	"fmt"
	"testing"

	"github.com/panjf2000/gnet/v2"

	"icomet/channel"
	"icomet/server/wire"
)

// countedLoop counts the runs that are asked for.
type countedLoop struct {
	gnet.EventLoop
	runs int
}

func (e *countedLoop) Execute(context.Context, gnet.Runnable) error {
	e.runs++
	return nil
}

// TestEventWakes: what comes up during an I/O event gets exactly one run, unless it needs
// none, or one is scheduled already.
func TestEventWakes(t *testing.T) {
	t.Parallel()
	ch := new(channel.Channel)
	for name, happens := range map[string]func(*loop){
		"rearm":            (*loop).rearm,
		"rearm twice":      func(l *loop) { l.rearm(); l.rearm() },
		"a call":           func(l *loop) { l.post(func() {}) },
		"a late answer":    func(l *loop) { l.postAnswer(new(Answer)) },
		"a tick":           (*loop).postTick,
		"presence":         func(l *loop) { push(l, nil) },
		"a burst":          func(l *loop) { push(l, ch, ch, ch, ch, ch) },
		"a message, rearm": func(l *loop) { push(l, ch); l.rearm() },
		"nothing":          func(*loop) {},
		"a message":        func(l *loop) { push(l, ch) },
	} {
		for _, scheduled := range []bool{false, true} {
			r, _ := bareReactor(t, testSettings(), 1, subscribers(), true)
			l, el := r.loops[0], new(countedLoop)
			var here gnet.EventLoop = el
			l.el.Store(&here)
			if scheduled {
				l.rearm()
				el.runs = 0
			}
			l.beginEvent()
			happens(l)
			l.endEvent()
			want := 0
			if name != "nothing" && name != "a message" && !scheduled {
				want = 1
			}
			if el.runs != want {
				t.Errorf("%s, scheduled %v: %d runs, want %d", name, scheduled, el.runs, want)
			}
			if wantArmed := want == 1 || scheduled; l.armed != wantArmed {
				t.Errorf("%s, scheduled %v: armed is %v", name, scheduled, l.armed)
			}
			el.runs = 0
			if l.rearm(); !l.armed || el.runs == 1 == (want == 1 || scheduled) {
				t.Errorf("%s, scheduled %v: the next rearm asks for %d runs", name, scheduled, el.runs)
			}
		}
	}
}

func push(l *loop, chs ...*channel.Channel) {
	for _, ch := range chs {
		if l.Push(ch, channel.Message{Seq: 1}) {
			l.Wake()
		}
	}
}

// TestLittleIsDeliveredAtOnce: a message to few subscribers is written before the next I/O
// event of the round, one to many after all of them.
func TestLittleIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	h := subscribers()
	seen := make(chan uint64, 1)
	h["/push"] = func(c *Conn, r *Request) {
		name, _ := c.Cname(r)
		if _, err := c.loop.reactor.hub.Publish(&channel.Publication{Name: name, Content: "x"}); err != nil {
			t.Error(err)
		}
		c.Text(r, &wire.Head{Status: 200, Connection: r.Connection}, "pushed")
	}
	h["/look"] = func(c *Conn, r *Request) {
		seen <- c.loop.stats.Deliveries.Load()
		c.Text(r, &wire.Head{Status: 200, Connection: r.Connection}, "looked")
	}
	for _, subscribers := range []int{1, little, little + 1} {
		s := startWith(t, 1, nil, h, true)
		for range subscribers {
			s.subscribe("/stream?cname=a")
		}
		publisher, watcher := dial(t, s.front), dial(t, s.front)
		for _, c := range []*client{publisher, watcher} { // both are known to the loop
			c.get("/ping").wantAnswer(200, "ping\n")
		}
		release := pause(s.loops[0])
		publisher.get("/push?cname=a")
		watcher.get("/look")
		release()
		want := uint64(subscribers)
		if subscribers > little {
			want = 0
		}
		if got := <-seen; got != want {
			t.Errorf("%d subscribers: the next event sees %d deliveries, want %d", subscribers, got, want)
		}
		s.checkFor(func() error {
			if n := s.Counters()[0].Deliveries.Load(); n != uint64(subscribers) {
				return fmt.Errorf("%d deliveries", n)
			}
			return nil
		})
	}
}
