package channel

import (
	"errors"
	"testing"
	"time"
)

func TestClose(t *testing.T) {
	h, sink := newTestHub(t, small)
	name := []byte("a")
	c := subscribe(t, h, "a")
	subscribe(t, h, "a")
	publish(t, h, "a", "x")
	next, err := h.Close(name)
	if err != nil || next != 2 {
		t.Fatalf("Close: %d, %v", next, err)
	}
	in := sink.take()
	if len(in) != 2 || in[1] != (delivery{c, Message{Seq: 2, Type: Closed}}) {
		t.Fatalf("the sink got %v", in)
	}
	if h.Channels() != 0 || h.Alive(name) || h.ChannelSubscribers(name) != 0 {
		t.Error("the channel is still there")
	}
	// The name is free before the subscribers have left.
	if seq := publish(t, h, "a", "new"); seq != 1 {
		t.Errorf("first message of the new channel: %d", seq)
	}
	if in := sink.take(); len(in) != 0 {
		t.Errorf("the old subscribers got %v", in)
	}
	h.Leave(c, 0, false)
	h.Leave(c, 0, true)
	if h.Subscribers() != 0 || h.Channels() != 1 || len(h.expiry.due) != 0 {
		t.Errorf("%d subscribers, %d channels after the Leaves", h.Subscribers(), h.Channels())
	}
	checkHub(t, h)
	clk := &clock{h: h}
	clk.wantFreedAt(t, "a", 30*time.Second)
}

// TestCloseReachesAFullSink: Closed is never refused, since it ends subscribers.
func TestCloseReachesAFullSink(t *testing.T) {
	h, sink := newTestHub(t, small)
	c := subscribe(t, h, "a")
	sink.limit = 1
	publish(t, h, "a", "x")
	h.Close([]byte("a"))
	wantMessages(t, sink.messages(), []Message{{Seq: 1, Content: "x", Type: Data}, {Seq: 2, Content: "", Type: Closed}})
	h.Leave(c, 0, true)
}

// TestClosedWhileInTheWheel: the sweep meets a closed channel whose name another channel
// has by then.
func TestClosedWhileInTheWheel(t *testing.T) {
	h, _ := newTestHub(t, small)
	publish(t, h, "a", "x")
	old := h.lookup([]byte("a"))
	old.mu.Unlock()
	c := &clock{h: h}
	c.to(20 * time.Second)
	h.Close([]byte("a"))
	if old.ring != nil {
		t.Error("a closed channel holds on to its messages while it is in the wheel")
	}
	publish(t, h, "a", "x")
	c.wantFreedAt(t, "a", 50*time.Second)
	if h.Channels() != 0 {
		t.Errorf("%d channels", h.Channels())
	}
}

func TestUnknownChannel(t *testing.T) {
	h, _ := newTestHub(t, small)
	name := []byte("a")
	if _, err := h.Close(name); !errors.Is(err, ErrNotFound) {
		t.Errorf("Close: %v", err)
	}
	if _, err := h.Clear(name); !errors.Is(err, ErrNotFound) {
		t.Errorf("Clear: %v", err)
	}
	if h.Alive(name) || h.ChannelSubscribers(name) != 0 {
		t.Error("alive")
	}
	if h.Channels() != 0 {
		t.Error("asking created it")
	}
}

func TestClearKeepsSeqAndSubscribers(t *testing.T) {
	h, sink := newTestHub(t, small)
	subscribe(t, h, "a")
	publish(t, h, "a", "x")
	if next, err := h.Clear([]byte("a")); err != nil || next != 2 {
		t.Fatalf("Clear: %d, %v", next, err)
	}
	publish(t, h, "a", "y")
	wantMessages(t, sink.messages(), []Message{{Seq: 1, Content: "x", Type: Data}, {Seq: 2, Content: "y", Type: Data}})
	got := join(t, h, Join{Name: []byte("a"), Since: 1})
	wantMessages(t, got.Replay, []Message{{Seq: 2, Content: "y", Type: Data}})
}

func TestAlive(t *testing.T) {
	h, _ := newTestHub(t, small)
	c := subscribe(t, h, "a")
	clk := &clock{h: h}
	clk.to(300 * time.Second)
	if !h.Alive([]byte("a")) {
		t.Error("a subscribed channel is not alive")
	}
	h.Leave(c, 0, true)
	clk.wantFreedAt(t, "a", 330*time.Second)
}

// TestOverloadGivesNoSeq: a refused publish changes nothing.
func TestOverloadGivesNoSeq(t *testing.T) {
	h, sink := newTestHub(t, small)
	other := new(fakeSink)
	h.AddSink(other)
	subscribe(t, h, "a")
	join(t, h, Join{Name: []byte("a"), Sink: 1})
	other.limit = 2
	publish(t, h, "a", "1")
	publish(t, h, "a", "2")
	for range 3 {
		if out, err := h.Publish(&Publication{Name: []byte("a"), Content: "refused"}); !errors.Is(err, ErrOverloaded) || out.Seq != 0 {
			t.Fatalf("into a full sink: %d, %v", out.Seq, err)
		}
	}
	want := []Message{{Seq: 1, Content: "1", Type: Data}, {Seq: 2, Content: "2", Type: Data}}
	wantMessages(t, other.messages(), want)
	publish(t, h, "a", "3")
	want = append(want, Message{Seq: 3, Content: "3", Type: Data})
	wantMessages(t, sink.messages(), want)
	wantMessages(t, join(t, h, Join{Name: []byte("a"), Since: 1}).Replay, want)
	other.messages()
	other.limit = 1
	h.push(nil, Message{}, 1<<1)
	h.wake(1 << 1)
	publish(t, h, "b", "a channel without subscribers there goes on")
}

// TestWakeHoldsNoLock: Wake is called without a lock, so a sink may do anything in it.
func TestWakeHoldsNoLock(t *testing.T) {
	h, sink := watch(t, small)
	woken := 0
	sink.onWake = func() {
		woken++
		for i := range h.shards {
			s := &h.shards[i]
			if !s.mu.TryLock() {
				t.Error("woken under a shard's lock")
				return
			}
			for c := range s.channels.all {
				if !c.mu.TryLock() {
					t.Error("woken under a channel's lock")
				} else {
					c.mu.Unlock()
				}
			}
			s.mu.Unlock()
		}
	}
	step := func(name string, do func()) {
		sink.take()
		before := woken
		if do(); woken == before {
			t.Errorf("%s did not wake", name)
		}
	}
	step("Join", func() { subscribe(t, h, "a") })
	step("Publish", func() { publish(t, h, "a", "x") })
	step("Broadcast", func() { h.Broadcast("x", "", nil) })
	step("Close", func() { h.Close([]byte("a")) })
	step("Sign", func() { h.Sign([]byte("b"), time.Second) })
	step("a sweep", func() { h.Tick(2 * time.Second) })
	subscribe(t, h, "c")
	step("a repeat", func() {
		for now := 17 * time.Second; now <= 32*time.Second; now += 15 * time.Second {
			h.Tick(now)
		}
	})
}
