package reactor

import (
	"math/rand/v2"
	"testing"
	"time"
)

// checkList checks the whole wheel against the connections that are to be in it.
func (w *wheel) checkList(t *testing.T, in map[*Conn]bool) {
	t.Helper()
	found := 0
	for i := range w.slots {
		var prev *Conn
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
	t.Parallel()
	w, r := &wheel{swept: 1}, rand.New(rand.NewPCG(1, 2))
	cs := make([]*Conn, 50)
	for i := range cs {
		cs[i] = &Conn{slot: noSlot}
	}
	in, due := make(map[*Conn]bool), make(map[*Conn]uint32)
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
	set := testSettings()
	set.IdleTimeout = 200 * time.Second
	r, _ := bareReactor(t, set, 1, subscribers(), true)
	return r.loops[0]
}

// TestArmMovesEarlierOnly: a later deadline is only noted, an earlier one counts at
// once, a far one is looked at once a turn.
func TestArmMovesEarlierOnly(t *testing.T) {
	t.Parallel()
	l := bareLoop(t)
	c := &Conn{loop: l, slot: noSlot, since: l.now}
	in := map[*Conn]bool{c: true}
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
	if want := c.since + 2001; l.now != want || !c.has(flagDoomed) || c.reason != ReasonIdle {
		t.Errorf("ended at %d for %v, want %d", l.now, c.reason, want)
	}
}

// TestOneDeadlineOverTheCap: whatever a newcomer over the cap begins, it has the same time.
func TestOneDeadlineOverTheCap(t *testing.T) {
	t.Parallel()
	l := bareLoop(t)
	c := &Conn{loop: l, slot: noSlot, since: l.now}
	c.setRefusal(ReasonConnections)
	want := l.deadline(c)
	for _, step := range []func(){c.restart, c.begin} {
		l.now++
		if step(); l.deadline(c) != want {
			t.Errorf("due at %d, want %d", l.deadline(c), want)
		}
	}
}

// TestClockStandsStill: a goroutine that has looked at the time and was stopped before
// it said so must not put the clock back, under the wheels of those that have swept on.
func TestClockStandsStill(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	l := bareLoop(t)
	for range 25 {
		l.arm(&Conn{loop: l, slot: noSlot, since: l.now})
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
