package channel

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"
)

const tick = 100 * time.Millisecond

// clock ticks a hub as the server does.
type clock struct {
	h   *Hub
	now time.Duration
}

// to ticks until now is the given time.
func (c *clock) to(at time.Duration) {
	for c.now < at {
		c.now = min(at, c.now+tick)
		c.h.Tick(c.now)
	}
}

// wantFreedAt: the channel exists up to the given time, and is freed within a second
// after it.
func (c *clock) wantFreedAt(t *testing.T, name string, at time.Duration) {
	t.Helper()
	c.to(at)
	if !exists(c.h, name) || !c.h.Alive([]byte(name)) {
		t.Fatalf("%s freed before %v", name, at)
	}
	c.to(at + time.Second)
	if exists(c.h, name) || c.h.Alive([]byte(name)) {
		t.Fatalf("%s still there at %v", name, c.now)
	}
}

func exists(h *Hub, name string) bool {
	s := h.shard(h.hash([]byte(name)))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channels.find(h.hash([]byte(name)), []byte(name)) != nil
}

// TestExpiry: the moment from which a channel's time counts. Timeout is 30 s.
func TestExpiry(t *testing.T) {
	const s = time.Second
	name := []byte("a")
	for _, tc := range []struct {
		name string
		use  func(t *testing.T, h *Hub, c *clock)
		want time.Duration
	}{
		{"publish", func(t *testing.T, h *Hub, c *clock) { publish(t, h, "a", "x") }, 30 * s},
		{"last publish", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			c.to(29 * s)
			publish(t, h, "a", "x")
			c.to(45 * s)
			publish(t, h, "a", "x")
		}, 75 * s},
		{"sign waits", func(t *testing.T, h *Hub, c *clock) { h.Sign(name, 7*s) }, 7 * s},
		{"a publish never shortens a sign", func(t *testing.T, h *Hub, c *clock) {
			h.Sign(name, 60*s)
			c.to(5 * s)
			publish(t, h, "a", "x")
		}, 60 * s},
		{"a sign never shortens a publish", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			h.Sign(name, s)
		}, 30 * s},
		{"a second sign never shortens the first", func(t *testing.T, h *Hub, c *clock) {
			h.Sign(name, 20*s)
			h.Sign(name, 2*s)
		}, 20 * s},
		{"a publish prolongs a sign", func(t *testing.T, h *Hub, c *clock) {
			h.Sign(name, 7*s)
			c.to(6 * s)
			publish(t, h, "a", "x")
		}, 36 * s},
		{"last leave", func(t *testing.T, h *Hub, c *clock) {
			ch := subscribe(t, h, "a")
			subscribe(t, h, "a")
			c.to(100 * s)
			h.Leave(ch, 0, false)
			c.to(200 * s)
			h.Leave(ch, 0, true)
		}, 230 * s},
		{"a leave never shortens a sign", func(t *testing.T, h *Hub, c *clock) {
			h.Sign(name, 300*s)
			ch := subscribe(t, h, "a")
			c.to(100 * s)
			h.Leave(ch, 0, true)
		}, 300 * s},
		{"a poll that is answered at once", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			c.to(10 * s)
			join(t, h, Join{Name: name, Since: 1, OneShot: true})
		}, 40 * s},
		{"a poll that creates", func(t *testing.T, h *Hub, c *clock) {
			join(t, h, Join{Name: name, OneShot: true})
		}, 30 * s},
		{"broadcast does not prolong", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			c.to(20 * s)
			h.Broadcast("x", "", nil)
		}, 30 * s},
		{"clear does not prolong", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			c.to(20 * s)
			h.Clear(name)
		}, 30 * s},
		{"asking does not prolong", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			c.to(20 * s)
			h.Alive(name)
			h.ChannelSubscribers(name)
			joinAuth(h, "a", "wrong")
		}, 30 * s},
		{"a sign beyond the wheel", func(t *testing.T, h *Hub, c *clock) { h.Sign(name, 500*s) }, 500 * s},
		{"a timeout that is lowered keeps what was given", func(t *testing.T, h *Hub, c *clock) {
			publish(t, h, "a", "x")
			l := small
			l.Timeout = s
			h.SetLimits(l)
			c.to(10 * s)
			publish(t, h, "a", "x")
		}, 30 * s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, _ := newTestHub(t, small)
			c := &clock{h: h}
			tc.use(t, h, c)
			c.wantFreedAt(t, "a", tc.want)
		})
	}
}

// TestExpiryAnyPhase: a channel is used at any time between two ticks, some of them late.
// It is freed within a second after its time, and never before.
func TestExpiryAnyPhase(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, 1023 * tick, 1024 * tick, 1025 * tick} {
		for late := time.Duration(0); late <= 250*time.Millisecond; late += 50 * time.Millisecond {
			for phase := time.Duration(0); phase < tick; phase += 33 * time.Millisecond {
				h, _ := newTestHub(t, small)
				c := &clock{h: h}
				c.to(5*time.Second + phase)
				h.Sign([]byte("a"), wait)
				used := c.now + late // the hub does not know this time yet
				c.now = used
				h.Tick(used)
				c.wantFreedAt(t, "a", used+wait)
			}
		}
	}
}

// TestExpiryFarDeadline: 30 days are far beyond the wheel's horizon.
func TestExpiryFarDeadline(t *testing.T) {
	const month = 30 * 24 * time.Hour
	h, _ := newTestHub(t, small)
	h.Sign([]byte("a"), month)
	c := &clock{h: h}
	for c.now = 0; c.now < month-time.Minute; c.now += 20 * time.Second {
		h.Tick(c.now)
	}
	c.wantFreedAt(t, "a", month)
}

// TestExpiryClockJump: a jump of a million slots loses no channel, and frees none that is
// not due.
func TestExpiryClockJump(t *testing.T) {
	h, _ := newTestHub(t, small)
	for i := range 50 {
		h.Sign(fmt.Append(nil, i), time.Duration(i)*time.Second)
	}
	const jump = 1e6 * tick
	h.Sign([]byte("beyond"), jump+10*time.Second)
	ch := subscribe(t, h, "subscribed")
	c := &clock{h: h, now: jump}
	h.Tick(c.now)
	if n := h.Channels(); n != 2 {
		t.Errorf("%d channels after the jump, want beyond and subscribed", n)
	}
	h.Leave(ch, 0, true)
	c.wantFreedAt(t, "beyond", jump+10*time.Second)
	c.wantFreedAt(t, "subscribed", jump+30*time.Second)
	// Going through each slot of 250 years one by one would take minutes.
	publish(t, h, "a", "x")
	h.Tick(250 * 365 * 24 * time.Hour)
	if n := h.Channels(); n != 0 {
		t.Errorf("%d channels after 250 years", n)
	}
}

// TestExpiryNeverUsed: a channel whose creator was refused has a deadline in the past.
func TestExpiryNeverUsed(t *testing.T) {
	l := small
	l.MaxSubscribers = 0
	h, _ := newTestHub(t, l)
	c := &clock{h: h}
	c.to(50 * time.Second)
	if _, err := h.Join(&Join{Name: []byte("a")}, nil); !errors.Is(err, ErrTooManySubscribers) {
		t.Fatal(err)
	}
	c.to(51 * time.Second)
	if exists(h, "a") {
		t.Error("nobody uses it and it is there after a second")
	}
}

// TestExpiryRevived: a channel that was due is used again before it is swept.
func TestExpiryRevived(t *testing.T) {
	for _, tc := range []struct {
		name   string
		revive func(t *testing.T, h *Hub)
	}{
		{"published", func(t *testing.T, h *Hub) { publish(t, h, "a", "x") }},
		{"subscribed and left", func(t *testing.T, h *Hub) { h.Leave(subscribe(t, h, "a"), 0, true) }},
		{"signed", func(t *testing.T, h *Hub) { h.Sign([]byte("a"), small.Timeout) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, _ := newTestHub(t, small)
			publish(t, h, "a", "x")
			c := &clock{h: h}
			c.to(30 * time.Second)
			// The sweep has taken it out of the wheel, but not looked at it yet.
			c.now += time.Second
			ms := c.now.Milliseconds()
			h.now.Store(ms)
			due := h.expiry.take(ms)
			if len(due) != 1 || !h.Alive([]byte("a")) { // what is not freed is there
				t.Fatalf("%d due", len(due))
			}
			tc.revive(t, h)
			for _, ch := range due {
				h.sweepOne(ch, ms)
			}
			checkHub(t, h)
			c.wantFreedAt(t, "a", c.now+30*time.Second)
		})
	}
}

// TestExpiryArmedOnce: however often a channel is used, it is in the wheel at most once.
func TestExpiryArmedOnce(t *testing.T) {
	h, _ := newTestHub(t, small)
	c := &clock{h: h}
	for i := range 2000 {
		switch i % 3 {
		case 0:
			publish(t, h, "a", "x")
		case 1:
			h.Leave(subscribe(t, h, "a"), 0, true)
		case 2:
			h.Sign([]byte("a"), time.Duration(i)*time.Millisecond)
		}
		c.to(c.now + tick)
		checkHub(t, h)
	}
	c.wantFreedAt(t, "a", c.now-tick+30*time.Second)
}

// TestSweepBudget: more channels are due at once than one tick looks at. The rest is
// freed at the next tick, and what is added meanwhile is not lost.
func TestSweepBudget(t *testing.T) {
	const extra = 10
	l := small
	l.MaxChannels = 2 * sweepBudget
	h, _ := newTestHub(t, l)
	for i := range sweepBudget + extra {
		h.Sign(strconv.AppendInt(nil, int64(i), 10), time.Second)
	}
	h.Tick(2 * time.Second)
	if n := h.Channels(); n != extra {
		t.Fatalf("%d channels after one tick, want what is over the budget", n)
	}
	publish(t, h, "new", "x")
	checkHub(t, h)
	c := &clock{h: h, now: 2 * time.Second}
	c.to(c.now + tick)
	if n := h.Channels(); n != 1 {
		t.Fatalf("%d channels after the next tick, want new alone", n)
	}
	c.wantFreedAt(t, "new", 32*time.Second)
}

// TestSweepWaitsForPresence: many channels are due at once, and the sink that watches
// presence is slow. No Offline is lost; when the sink has caught up, the rest is freed.
func TestSweepWaitsForPresence(t *testing.T) {
	const channels = 5 * sweepBatch
	l := small
	l.MaxChannels = channels
	h, sink := watch(t, l)
	for i := range channels {
		h.Sign(fmt.Append(nil, i), time.Second)
	}
	sink.take()
	sink.limit = 2 * sweepBatch
	c := &clock{h: h}
	c.to(3 * time.Second)
	if n := channels - h.Channels(); n != sweepBatch {
		t.Errorf("%d freed while half full", n)
	}
	offline := 0
	for range 10 {
		for _, m := range sink.messages() {
			if m.Type == Offline {
				offline++
			}
		}
		h.Tick(c.now)
	}
	if offline != channels || h.Channels() != 0 || h.PresenceDropped() != 0 {
		t.Errorf("%d offline messages, %d channels are left, %d dropped", offline, h.Channels(), h.PresenceDropped())
	}
}

// TestEndedUntilFreed: an ended channel refuses publishes as long as it is said to be there, and
// no longer, however long the sweep behind its deadline takes.
func TestEndedUntilFreed(t *testing.T) {
	h, _ := newTestHub(t, small)
	c := &clock{h: h}
	publish(t, h, "a", "x")
	if _, err := h.Publish(&Publication{Name: []byte("a"), End: true, NoContent: true}); err != nil {
		t.Fatal(err)
	}
	for over := range 3 {
		switch over {
		case 1: // its time is over, and the sweep has not come to it
			h.now.Store((small.Timeout + time.Minute).Milliseconds())
		case 2:
			c.to(small.Timeout + time.Minute)
		}
		there := h.Alive([]byte("a"))
		_, err := h.Publish(&Publication{Name: []byte("a"), Content: "y"})
		if there != (err == ErrEnded) || there != (over < 2) {
			t.Errorf("step %d: there %v, publish %v", over, there, err)
		}
	}
}
