package channel

import (
	"fmt"
	"strings"
	"testing"
)

// TestReadInPieces: whatever the limit, the pieces are the backlog, each at least one
// message and not over the limit, though they leave the buffer meanwhile; then the queue
// goes on where they end.
func TestReadInPieces(t *testing.T) {
	for _, limit := range []int{1, 200, 500, 5000} {
		h, sink := newTestHub(t, Limits{MaxChannels: 10, MaxSubscribers: 10, BufferSize: 10, Timeout: small.Timeout})
		for i := range 15 {
			publish(t, h, "a", fmt.Sprintf("%0100d", i+1))
		}
		got := join(t, h, Join{Name: []byte("a"), Since: 3, Limit: limit, Keep: 1 << 20, OneShot: limit == 500})
		if limit == 5000 {
			if got.More || len(got.Replay) != 10 || got.Next != 16 {
				t.Fatalf("a short backlog: %+v", got)
			}
			continue
		}
		if !got.More || !got.Subscribed || len(got.Replay) != 0 || got.Next != 6 || got.End != 16 {
			t.Fatalf("limit %d: %+v", limit, got)
		}
		next := got.Next
		for end, at := false, 16; !end; at++ {
			if at < 40 { // more is published than read: all of what was there leaves the buffer
				publish(t, h, "a", fmt.Sprintf("%0100d", at))
				publish(t, h, "a", "x")
			}
			p := h.Read(got.Channel, next, limit, nil)
			if len(p.Messages) == 0 || len(p.Messages) > max(1, limit/64) || p.Lost {
				t.Fatalf("limit %d: a piece of %d messages, lost %v", limit, len(p.Messages), p.Lost)
			}
			for _, m := range p.Messages {
				if m.Seq != next {
					t.Fatalf("limit %d: got %d, want %d", limit, m.Seq, next)
				}
				next++
			}
			end = p.End
		}
		if next != got.Channel.next {
			t.Errorf("limit %d: the pieces end before %d", limit, next)
		}
		publish(t, h, "a", "live")
		if in := sink.messages(); in[len(in)-1].Seq != next {
			t.Errorf("limit %d: the queue goes on with %d", limit, in[len(in)-1].Seq)
		}
		h.EndRead(got.Channel)
		h.Leave(got.Channel, 0, true)
	}
}

// TestReadAfterCloseAndClear: a backlog that was promised outlives a Close, for as long as
// it is read, and a Clear; who comes later does not see it.
func TestReadAfterCloseAndClear(t *testing.T) {
	h, _ := newTestHub(t, small)
	publish(t, h, "a", "1")
	publish(t, h, "a", "2")
	first := join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1})
	second := join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1})
	h.Close([]byte("a"))
	c := first.Channel
	h.EndRead(c)
	h.Leave(c, 0, false)
	if p := h.Read(c, 1, 1, nil); len(p.Messages) != 1 || p.Lost || p.End {
		t.Errorf("after a Close: %+v", p)
	}
	h.EndRead(second.Channel)
	h.Leave(c, 0, true)
	if c.ring != nil || len(h.reads.of) != 0 {
		t.Error("a closed channel holds on to its messages when nobody reads them")
	}
	publish(t, h, "a", "1")
	publish(t, h, "a", "2")
	again := join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1, Keep: 1 << 20})
	h.Clear([]byte("a"))
	if fresh := join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1}); fresh.More || len(fresh.Replay) != 0 {
		t.Errorf("who comes after a Clear gets %+v", fresh)
	}
	publish(t, h, "a", "3")
	if p := h.Read(again.Channel, 1, 1000, nil); len(p.Messages) != 3 || p.Lost || !p.End {
		t.Errorf("after a Clear: %+v", p)
	}
	h.EndRead(again.Channel)
	h.Leave(again.Channel, 0, false)
	h.Leave(again.Channel, 0, true)
	checkHub(t, h)
}

// TestKeptIsBounded: a reader that is too slow loses the oldest, and is told so. What is
// kept for all readers of a channel is within the limit.
func TestKeptIsBounded(t *testing.T) {
	h, _ := newTestHub(t, small)
	publish(t, h, "a", strings.Repeat("z", 1000))
	const limit = 10_000
	var first Joined
	for range 5 {
		first = join(t, h, Join{Name: []byte("a"), Since: 1, Limit: 1, Keep: limit})
	}
	for range 50 {
		publish(t, h, "a", strings.Repeat("z", 1000))
		held := 0
		for _, m := range h.reads.get(first.Channel).ms {
			held += len(m.Content)
		}
		if held > limit {
			t.Fatalf("%d bytes are kept", held)
		}
	}
	p := h.Read(first.Channel, 1, 1<<20, nil)
	if !p.Lost || !p.End || p.Messages[0].Seq <= 1 {
		t.Errorf("%v, from %d on", p.Lost, p.Messages[0].Seq)
	}
	// A message that is over the limit itself is kept, until the next one.
	publish(t, h, "a", strings.Repeat("z", 2*limit))
	for range h.Limits().BufferSize {
		publish(t, h, "a", "")
	}
	if p := h.Read(first.Channel, 52, 1, nil); p.Lost || len(p.Messages) != 1 || p.Messages[0].Seq != 52 {
		t.Errorf("%+.50v", p)
	}
	for i := range 5 {
		h.EndRead(first.Channel)
		h.Leave(first.Channel, 0, i == 4)
	}
	if len(h.reads.of) != 0 || h.reads.readers.Load() != 0 {
		t.Error("something is kept for nobody")
	}
}
