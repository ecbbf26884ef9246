package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// checkList checks the whole wheel against the connections that are to be in it.
func (w *wheel) checkList(t *testing.T, in map[*conn]bool) {
	t.Helper()
	found := 0
	for i := range w.slots {
		var prev *conn
		for c := w.slots[i]; c != nil; prev, c = c, c.timeNext {
			if found++; found > len(in) {
				t.Fatalf("slot %d: more connections than there are", i)
			}
			if !in[c] || int(c.slot) != i || c.timePrev != prev {
				t.Fatalf("slot %d: a connection with slot %d, known %v, previous %p, want %p", i, c.slot, in[c], c.timePrev, prev)
			}
			if due := w.due(c); int(due%wheelSlots) != i || due < w.swept || due >= w.swept+wheelSlots {
				t.Fatalf("slot %d: due at %d, swept up to %d", i, due, w.swept)
			}
		}
	}
	if found != len(in) {
		t.Fatalf("%d connections in the wheel, want %d", found, len(in))
	}
}

func TestWheelKeepsItsLists(t *testing.T) {
	w, r := &wheel{swept: 1}, rand.New(rand.NewPCG(1, 2))
	cs := make([]*conn, 50)
	for i := range cs {
		cs[i] = &conn{slot: noSlot}
	}
	in, due := make(map[*conn]bool), make(map[*conn]uint32)
	now := uint32(1)
	for range 20_000 {
		c := cs[r.IntN(len(cs))]
		switch r.IntN(4) {
		case 0, 1:
			w.remove(c)
			delete(in, c)
			if r.IntN(3) > 0 {
				// What is beyond the wheel is looked at once a turn.
				due[c] = now + 1 + uint32(r.IntN(3*wheelSlots))
				w.add(c, due[c])
				in[c], due[c] = true, min(due[c], w.swept+wheelSlots-1)
				if got := w.due(c); got != due[c] {
					t.Fatalf("due at %d, want %d", got, due[c])
				}
			}
		case 2:
			now += uint32(r.IntN(30))
		case 3:
			c := w.next(now)
			if c == nil {
				if w.behind(now) {
					t.Fatalf("behind: swept up to %d at %d", w.swept, now)
				}
				break
			}
			if !in[c] || due[c] > now {
				t.Fatalf("at %d: one that is due at %d, known %v", now, due[c], in[c])
			}
			delete(in, c)
		}
		w.checkList(t, in)
	}
	n := 0
	for c := w.all(); c != nil; c = c.timeNext {
		n++
	}
	if n != len(in) {
		t.Errorf("all gives %d of %d", n, len(in))
	}
	w.checkList(t, nil)
}

// bareLoop is a loop that only has time.
func bareLoop(t *testing.T) *loop {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Front.PollingTimeout = 30
	cfg.Limits.RequestTimeout = Duration(10 * time.Second)
	cfg.Limits.IdleTimeout = Duration(200 * time.Second)
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	srv, err := New(Options{Config: cfg, CrashOnPanic: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv.reactor.loops[0]
}

// TestArmMovesEarlierOnly: a later deadline is only noted, an earlier one counts at
// once, a far one is looked at once a turn.
func TestArmMovesEarlierOnly(t *testing.T) {
	l := bareLoop(t)
	c := &conn{loop: l, slot: noSlot, since: l.now}
	in := map[*conn]bool{c: true}
	due := func(want uint32) {
		t.Helper()
		l.wheel.checkList(t, in)
		if got := l.wheel.due(c); got != want {
			t.Errorf("due at %d, want %d", got, want)
		}
	}
	l.arm(c)
	due(l.wheel.swept + wheelSlots - 1) // idle: 2,000 ticks
	c.begin()
	l.arm(c)
	due(c.since + 101) // at 100 the tick that it began in is not over
	c.clear(flagMidRequest)
	l.arm(c) // later again
	due(c.since + 101)
	l.now += 101
	l.timeouts(10)
	if c.slot == noSlot || c.has(flagDoomed) {
		t.Fatal("it was ended before its deadline")
	}
	due(l.wheel.swept + wheelSlots - 2) // from the sweep before
	for c.slot != noSlot && l.now < 3000 {
		l.now++
		l.timeouts(10)
	}
	if want := c.since + 2001; l.now != want || !c.has(flagDoomed) || c.reason != reasonIdle {
		t.Errorf("ended at %d for %v, want %d", l.now, c.reason, want)
	}
}

// TestClockStandsStill: a goroutine that has looked at the time and was stopped before
// it said so must not put the clock back, under the wheels of those that have swept on.
func TestClockStandsStill(t *testing.T) {
	s := bareLoop(t).reactor
	ahead := s.ticks() + 50
	s.now.Store(ahead)
	s.slow.Store(true)
	if got := s.clock(); got != ahead {
		t.Errorf("the clock goes from %d to %d", ahead, got)
	}
	s.advance(ahead + 1)
	if got := s.clock(); got != ahead+1 {
		t.Errorf("the clock is at %d, want %d", got, ahead+1)
	}
}

// TestTimeoutsKeepTheirBudget: what is over it waits, and the loop knows.
func TestTimeoutsKeepTheirBudget(t *testing.T) {
	l := bareLoop(t)
	for range 25 {
		l.arm(&conn{loop: l, slot: noSlot, since: l.now})
	}
	l.now += 5000
	for i, want := range []struct {
		doomed int
		behind bool
	}{{10, true}, {20, true}, {25, false}} {
		l.timeouts(10)
		if len(l.doomed) != want.doomed || l.wheel.behind(l.now) != want.behind {
			t.Errorf("round %d: %d ended, behind %v", i, len(l.doomed), l.wheel.behind(l.now))
		}
	}
}

// TestTimeoutsOverSockets has one connection for each timeout.
func TestTimeoutsOverSockets(t *testing.T) {
	s := startServer(t, func(c *Config) {
		c.Limits.RequestTimeout = Duration(400 * time.Millisecond)
		c.Limits.IdleTimeout = Duration(900 * time.Millisecond)
		c.Front.PollingTimeout = 1
	})
	started := time.Now()
	took := func(what string, least time.Duration) {
		t.Helper()
		if d := time.Since(started); d < least-tickLength || d > least+lateness {
			t.Errorf("%s after %v, want %v", what, d, least)
		}
	}
	fresh, kept, partial := dial(t, s.front), idle(t, s.front, "/ping"), dial(t, s.front)
	stream := s.subscribe("/stream?cname=a&seq=1&noop=3")
	watcher := dial(t, s.admin).get("/psub")
	watcher.head()
	body := dial(t, s.admin)
	body.sendf("POST /push?cname=x HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf")
	// One byte after the other does not renew the deadline.
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 40 {
			if _, err := partial.Write([]byte("G")); err != nil {
				return
			}
			<-tick.C
		}
	}()
	for _, c := range []*client{partial, body} {
		status, text := c.response()
		if c == partial && status == 400 {
			t.Fatalf("the test's request is refused: %s", text)
		}
		if status != 408 || !strings.Contains(text, "request_timeout") {
			t.Errorf("an unfinished request is answered %d %q", status, text)
		}
		took("408", 400*time.Millisecond)
		c.expectEnd()
	}
	fresh.expectEnd()
	took("the end of a fresh connection", 900*time.Millisecond)
	kept.expectEnd()
	took("the end of an idle connection", 900*time.Millisecond)
	for i := range 2 {
		if got, want := stream.chunk(), fmt.Sprintf(`{"type":"noop","cname":"a","seq":%d,"content":""}`+"\n", 3+i); got != want {
			t.Errorf("heartbeat %q, want %q", got, want)
		}
		took("a heartbeat", time.Duration(i+1)*time.Second)
	}
	<-done
	s.call("/push?cname=b&content=x")
	for { // psub has no heartbeat, and is not idle
		if got := watcher.chunk(); got == "1 b\n" {
			break
		} else if !strings.HasPrefix(got, "1 ") && !strings.HasPrefix(got, "0 ") {
			t.Errorf("psub gets %q", got)
		}
	}
	if n := s.closedBy(reasonRequestTimeout); n != 2 {
		t.Errorf("%d request timeouts", n)
	}
	if n := s.closedBy(reasonIdle); n != 2 {
		t.Errorf("%d idle timeouts", n)
	}
}

// TestDeliveryPutsTheHeartbeatOff: the time counts from the last thing sent.
func TestDeliveryPutsTheHeartbeatOff(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Front.PollingTimeout = 1 })
	c := s.subscribe("/stream?cname=a&seq=1")
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for i := range 6 {
		<-tick.C
		s.call("/push?cname=a&content=x")
		if got := c.chunk(); !strings.Contains(got, fmt.Sprintf(`"seq":%d,"content":"x"`, i+1)) {
			t.Fatalf("chunk %d is %q", i, got)
		}
	}
	last := time.Now()
	if got := c.chunk(); !strings.Contains(got, `"noop"`) {
		t.Errorf("got %q", got)
	}
	// last is when the test has read it; the server counts from the tick of its sending.
	if d := time.Since(last); d < 700*time.Millisecond || d > time.Second+lateness {
		t.Errorf("the heartbeat came %v after the last message", d)
	}
}

// TestHeartbeatsAllDueAtOnce sends 2,000 heartbeats that are due in the same tick.
func TestHeartbeatsAllDueAtOnce(t *testing.T) {
	const n = 2000
	const seconds = 4 // within which all of them ask again, also on a busy machine
	s := startServer(t, func(c *Config) { c.Front.PollingTimeout = seconds })
	feeds := make([]*feed, n)
	for i := range feeds {
		f, err := openFeed(s.front, []string{"stream", "poll"}[i%2], "a", 1)
		if err == nil && f.kind == "poll" {
			err = f.request()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		feeds[i] = f
	}
	s.waitSubscribers("a", n)
	s.call("/push?cname=a&content=x")
	for _, f := range feeds {
		f.readSeq(t, 1, "x")
		if f.kind == "poll" {
			f.next = 2
			_ = f.request()
		}
	}
	s.waitSubscribers("a", n)
	started := time.Now()
	for _, f := range feeds {
		if f.kind == "poll" {
			f.answered(t, `"type":"noop","cname":"a","seq":0`)
		} else if ms, err := f.read(); err != nil || ms[0].Type != "noop" {
			t.Fatalf("%+v, %v", ms, err)
		}
	}
	if d := time.Since(started); d > seconds*time.Second+lateness {
		t.Errorf("the last heartbeat came after %v", d)
	}
	checkFor(t, patience, func() error {
		total := uint64(0)
		for _, l := range s.reactor.loops {
			total += l.stats.heartbeats.Load()
		}
		if total < n {
			return errors.New("heartbeats are not counted")
		}
		return nil
	})
}

// TestLingerKeepsTheAnswer sends much input behind a bad request: the answer
// arrives all the same, and the connection ends about a second later.
func TestLingerKeepsTheAnswer(t *testing.T) {
	s := startServer(t, nil)
	c := dial(t, s.front)
	c.sendf("BAD\r\n\r\n%s", strings.Repeat("x", 200<<10))
	started := time.Now()
	if status, _ := c.response(); status != 400 {
		t.Errorf("status %d", status)
	}
	c.sendf("%s", strings.Repeat("y", 1000)) // is discarded, not reset
	c.expectEnd()
	checkFor(t, patience, func() error {
		if s.closedBy(reasonBadRequest) != 1 {
			return errors.New("it is not closed")
		}
		return nil
	})
	if d := time.Since(started); d < 800*time.Millisecond || d > time.Second+lateness {
		t.Errorf("it lingered for %v", d)
	}
}
