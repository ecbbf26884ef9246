package reactor

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"icomet/server/wire"
)

// TestShutdownIsWhole: whoever sees that the server is leaving sees since when. Else a
// tick in between would find the time of a server that has run for long over, and stop it.
func TestShutdownIsWhole(t *testing.T) {
	t.Parallel()
	s := bareLoop(t).reactor
	s.log = slog.New(slog.DiscardHandler)
	s.loops[0].stats.Front.Store(1)
	s.started = time.Now().Add(-time.Hour)
	for range 20_000 {
		s.drainFrom.Store(0)
		s.draining.Store(false)
		s.leaving.Store(false)
		over := make(chan bool)
		go func() {
			for !s.draining.Load() {
			}
			over <- s.drained()
		}()
		s.Shutdown()
		if <-over {
			t.Fatal("the drain is over when it begins")
		}
	}
}

// TestDrainIsEvenByTicks: each tick of the drain ends its share of the subscribers.
func TestDrainIsEvenByTicks(t *testing.T) {
	t.Parallel()
	const subscribers, ticks = 240, 40
	l := bareLoop(t)
	set := *l.reactor.settings.Load()
	set.DrainTimeout = ticks * tickLength
	l.reactor.store(&set)
	for range subscribers {
		c := &Conn{loop: l, slot: noSlot, since: l.now, state: stateSubscribed, transport: wire.TransportStream}
		l.stats.subscribed(c.transport, 1)
		l.arm(c)
	}
	l.reactor.draining.Store(true)
	l.drainSome()
	gone := 0
	for tick := 1; tick <= ticks; tick++ {
		l.now++
		l.drainSome()
		gone += len(l.doomed)
		for _, c := range l.doomed { // as they would be closed
			l.wheel.remove(c)
			l.stats.subscribed(c.transport, -1)
		}
		l.doomed = l.doomed[:0]
		if want := subscribers * tick / ticks; gone != want {
			t.Fatalf("tick %d of %d: %d of %d have gone, want %d", tick, ticks, gone, subscribers, want)
		}
	}
}

// TestDrainFlushesWhatIsQueued drains while a slow reader has much to come: it gets
// it before it is cut.
func TestDrainFlushesWhatIsQueued(t *testing.T) {
	t.Parallel()
	const drain = 30 * time.Second // it ends with the last reader
	s := start(t, 2, func(set *Settings) { narrow(set); set.DrainTimeout = drain })
	text := strings.Repeat("z", 400<<10)
	stream := dialNarrow(t, s.front).get("/stream?cname=a&seq=1")
	stream.head()
	answered := dialNarrow(t, s.front).get("/sub?cname=a&seq=1") // idle but for its output
	s.waitSubscribers("a", 2)
	s.publish("a", text)
	s.waitSubscribers("a", 1)
	started := time.Now()
	s.Shutdown()
	s.checkFor(func() error {
		for _, l := range s.loops {
			if n := l.drainingFor(toTicks(drain)); n < 4 {
				return fmt.Errorf("a loop is in its tick %d of the drain", n)
			}
		}
		return nil
	})
	if got := stream.chunk(); len(got) < len(text) {
		t.Errorf("the stream gets %d bytes", len(got))
	}
	if _, body, err := answered.Answer(); len(body) < len(text) {
		t.Errorf("the poll gets %d bytes, %v", len(body), err)
	}
	stream.expectEnd()
	answered.expectEnd()
	_ = answered.Close()
	s.ends(started, drain)
}

// drainingFor is how many ticks of the drain have passed on a loop.
func (l *loop) drainingFor(timeout uint32) uint32 {
	passed := make(chan uint32)
	l.post(func() {
		if l.drain.end == 0 {
			passed <- 0
		} else {
			passed <- l.now + timeout - l.drain.end
		}
	})
	return <-passed
}

// TestDrainDeliversFirst: while something is queued for a loop, none of its
// subscribers is ended.
func TestDrainDeliversFirst(t *testing.T) {
	t.Parallel()
	s := start(t, 1, func(set *Settings) { set.DrainTimeout = 3 * time.Second })
	c := s.subscribe("/stream?cname=a&seq=1")
	s.waitSubscribers("a", 1)
	s.onAllLoops(func(l *loop) {
		s.Shutdown()
		l.stats.Queued.Add(1)
		for range 3 {
			l.drainSome()
		}
		if len(l.doomed) > 0 {
			t.Error("it is ended before the message is delivered")
		}
		l.stats.Queued.Add(-1)
		l.now++ // in the tick of the first signal nobody is to go yet
		if l.drainSome(); len(l.doomed) != 1 {
			t.Error("it is not ended afterwards")
		}
	})
	c.expectEnd()
}

// TestDrainDelay: after the signal the server says that it leaves, and serves newcomers
// and publishes as ever, until the delay is over.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	s := start(t, 2, func(set *Settings) { set.DrainDelay, set.DrainTimeout = 3*time.Second, 100*time.Millisecond })
	old := s.subscribe("/stream?cname=a&seq=1")
	begun := time.Now()
	s.Shutdown()
	if !s.Leaving() || s.Draining() {
		t.Fatalf("leaving %v, draining %v", s.Leaving(), s.Draining())
	}
	for n := 1; time.Since(begun) < 300*time.Millisecond; n++ {
		c := dial(t, s.front).get("/ping")
		if c.wantAnswer(200, "ping\n"); !t.Failed() {
			c.get("/ping").wantAnswer(200, "ping\n") // its connection is kept
		}
		s.publish("a", "x")
		if got := old.chunk(); !strings.Contains(got, fmt.Sprintf(`"seq":%d,`, n)) {
			t.Fatalf("got %q", got)
		}
	}
	s.Shutdown() // a second one changes nothing
	s.ends(begun, 3100*time.Millisecond)
	if took := time.Since(begun); took < 3*time.Second {
		t.Errorf("it left after %v", took)
	}
	old.expectEnd()
}
