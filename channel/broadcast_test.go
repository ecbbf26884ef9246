package channel

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func neverPause() bool { panic("paused") }

func TestBroadcast(t *testing.T) {
	h, sink := newTestHub(t, small)
	want := make(map[*Channel]Message)
	for i := range 100 {
		name := fmt.Sprint("c", i)
		for range i % 7 {
			publish(t, h, name, "x")
		}
		want[subscribe(t, h, name)] = Message{Seq: int64(i%7 + 1), Content: "all", Type: Broadcast}
	}
	publish(t, h, "nobody's", "x")
	if err := h.Broadcast("all", "", neverPause); err != nil {
		t.Fatal(err)
	}
	in := sink.take()
	for _, d := range in {
		if d.m != want[d.ch] {
			t.Errorf("%s got %v, want %v", d.ch.Name(), d.m, want[d.ch])
		}
		delete(want, d.ch)
	}
	if len(in) != 100 || len(want) != 0 {
		t.Errorf("%d messages, %d channels got none", len(in), len(want))
	}
	// It is also stored in a channel without subscribers.
	got := join(t, h, Join{Name: []byte("nobody's"), Since: 1})
	wantMessages(t, got.Replay, []Message{{Seq: 1, Content: "x", Type: Data}, {Seq: 2, Content: "all", Type: Broadcast}})
}

// TestBroadcastPauses: while a sink is busy, no message is queued to it.
func TestBroadcastPauses(t *testing.T) {
	const channels, limit = 100, 20
	h, sink := newTestHub(t, small)
	for i := range channels {
		subscribe(t, h, fmt.Sprint("c", i))
	}
	sink.limit = limit
	pauses, got := 0, 0
	err := h.Broadcast("all", "", func() bool {
		pauses++
		n := len(sink.take())
		if n > limit/4 {
			t.Errorf("%d messages were queued", n)
		}
		got += n
		return true
	})
	got += len(sink.take())
	if err != nil || got != channels || pauses < channels/limit {
		t.Errorf("%v; %d messages, %d pauses", err, got, pauses)
	}
}

// TestBroadcastStopsInTheMiddle: the channels that had their turn have the whole message.
func TestBroadcastStopsInTheMiddle(t *testing.T) {
	h, sink := newTestHub(t, small)
	for i := range 100 {
		subscribe(t, h, fmt.Sprint("c", i))
	}
	sink.limit = 20
	if err := h.Broadcast("all", "", func() bool { return false }); !errors.Is(err, ErrStopped) {
		t.Fatalf("stopped: %v", err)
	}
	in := sink.take()
	if len(in) != 5 {
		t.Errorf("%d messages before the stop", len(in))
	}
	for i := range 100 {
		c := join(t, h, Join{Name: fmt.Append(nil, "c", i), Since: 1})
		queued := slices.Contains(in, delivery{c.Channel, Message{Seq: 1, Content: "all", Type: Broadcast}})
		if stored := len(c.Replay) == 1; stored != queued {
			t.Errorf("c%d: stored %v, queued %v", i, stored, queued)
		}
	}
}

// TestBroadcastMeetsAClose: a channel that is closed after the snapshot is skipped, also
// when the broadcast is waiting for it.
func TestBroadcastMeetsAClose(t *testing.T) {
	h, sink := newTestHub(t, small)
	c := subscribe(t, h, "a")
	sink.limit = 2
	publish(t, h, "a", "x")
	err := h.Broadcast("all", "", func() bool {
		h.Close([]byte("a"))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	wantMessages(t, sink.messages(), []Message{{Seq: 1, Content: "x", Type: Data}, {Seq: 2, Content: "", Type: Closed}})
	h.Leave(c, 0, true)
}
