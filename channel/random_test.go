package channel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// modelChannel is the plain model of a channel: DESIGN.md, "Sequence rules" and "Expiry".
type modelChannel struct {
	next     int64
	subs     []*Channel
	deadline time.Duration
}

// TestRandomOperations does random operations in controlled time, compares the hub with
// the model, and checks the hub's structures after each step.
func TestRandomOperations(t *testing.T) {
	const seed = 20260730
	r := rand.New(rand.NewPCG(seed, seed))
	h, sink := newTestHub(t, small)
	m := make(map[string]*modelChannel)
	now := time.Duration(0)
	for step := range fullSize(20_000, 5000) {
		name := fmt.Sprint("c", r.IntN(8))
		if m[name] == nil && exists(h, name) {
			t.Fatalf("step %d: %s is there", step, name)
		}
		switch op := r.IntN(8); op {
		case 0:
			now += time.Duration(r.IntN(12)) * tick
		case 1:
			now += time.Duration(r.IntN(200)) * time.Second
		default:
			randomOperation(t, h, r, m, name, op, now)
		}
		h.Tick(now)
		for name, c := range m {
			// In the second after its time it may exist or not.
			if len(c.subs) == 0 && now > c.deadline && !exists(h, name) {
				delete(m, name)
			} else if !exists(h, name) || len(c.subs) == 0 && now > c.deadline+time.Second {
				t.Fatalf("step %d at %v: %s exists %v, deadline %v, %d subscribers",
					step, now, name, exists(h, name), c.deadline, len(c.subs))
			} else if n := h.ChannelSubscribers([]byte(name)); n != len(c.subs) {
				t.Fatalf("step %d: %s has %d subscribers, want %d", step, name, n, len(c.subs))
			}
		}
		checkHub(t, h)
		sink.take()
	}
}

func randomOperation(t *testing.T, h *Hub, r *rand.Rand, m map[string]*modelChannel, name string, op int, now time.Duration) {
	c := m[name]
	if c == nil {
		c = &modelChannel{next: 1}
	}
	switch op {
	case 2:
		if seq := publish(t, h, name, "x"); seq != c.next {
			t.Fatalf("%s: seq %d, want %d", name, seq, c.next)
		}
		c.next++
		c.deadline = max(c.deadline, now+small.Timeout)
	case 3:
		wait := time.Duration(r.IntN(300)) * time.Second
		h.Sign([]byte(name), wait)
		c.deadline = max(c.deadline, now+wait)
	case 4, 5:
		got := join(t, h, Join{Name: []byte(name), Since: int64(r.IntN(6))})
		if got.Next != c.next {
			t.Fatalf("%s: next %d, want %d", name, got.Next, c.next)
		}
		c.subs = append(c.subs, got.Channel)
	case 6:
		if len(c.subs) == 0 {
			return
		}
		h.Leave(c.subs[0], 0, len(c.subs) == 1)
		c.subs = c.subs[1:]
		c.deadline = max(c.deadline, now+small.Timeout)
	case 7:
		if r.IntN(3) > 0 || m[name] == nil {
			return
		}
		if next, err := h.Close([]byte(name)); err != nil || next != c.next {
			t.Fatalf("Close(%s): %d %v, want %d", name, next, err, c.next)
		}
		for i, ch := range c.subs {
			h.Leave(ch, 0, i == len(c.subs)-1)
		}
		delete(m, name)
		return
	}
	m[name] = c
}
