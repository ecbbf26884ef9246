package channel

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// fullSize returns n in "make torture", and part in other runs.
func fullSize(n, part int) int {
	if os.Getenv("ICOMET_TORTURE") == "full" {
		return n
	}
	return part
}

// delivery is one message that was pushed to a sink.
type delivery struct {
	ch *Channel
	m  Message
}

// fakeSink stands for an event loop: it stores what is pushed, in order, and asks for a
// Wake when its inbox was empty. limit 0: never full.
type fakeSink struct {
	mu     sync.Mutex
	inbox  []delivery
	asked  int // Pushes that asked for a Wake
	woken  int
	limit  int
	onWake func()
}

func (s *fakeSink) Push(ch *Channel, m Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inbox = append(s.inbox, delivery{ch, m})
	if len(s.inbox) == 1 {
		s.asked++
		return true
	}
	return false
}

func (s *fakeSink) Wake() {
	s.mu.Lock()
	s.woken++
	s.mu.Unlock()
	if s.onWake != nil {
		s.onWake()
	}
}

func (s *fakeSink) Full() bool     { return s.queued(1) }
func (s *fakeSink) HalfFull() bool { return s.queued(2) }
func (s *fakeSink) Busy() bool     { return s.queued(4) }

func (s *fakeSink) queued(times int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit > 0 && len(s.inbox)*times >= s.limit
}

// take empties the inbox.
func (s *fakeSink) take() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.inbox
	s.inbox = nil
	return out
}

// messages empties the inbox and returns the messages without their channels.
func (s *fakeSink) messages() []Message {
	var out []Message
	for _, d := range s.take() {
		out = append(out, d.m)
	}
	return out
}

// small are limits that tests reach only on purpose.
var small = Limits{MaxChannels: 1000, MaxSubscribers: 1000, BufferSize: 4, Timeout: 30 * time.Second}

// newTestHub returns a hub with one sink (number 0). At the end of the test, every Wake
// that was asked for must have come.
func newTestHub(t *testing.T, l Limits) (*Hub, *fakeSink) {
	h, s := NewHub(l), new(fakeSink)
	h.AddSink(s)
	t.Cleanup(func() {
		if s.asked != s.woken {
			t.Errorf("a sink asked for %d Wakes and got %d", s.asked, s.woken)
		}
		checkHub(t, h)
	})
	return h, s
}

func publish(t *testing.T, h *Hub, name, content string) int64 {
	t.Helper()
	out, err := h.Publish(&Publication{Name: []byte(name), Content: content})
	if err != nil {
		t.Fatalf("Publish(%s): %v", name, err)
	}
	return out.Seq
}

func join(t *testing.T, h *Hub, j Join) Joined {
	t.Helper()
	out, err := h.Join(&j, nil)
	if err != nil {
		t.Fatalf("Join(%s, %d): %v", j.Name, j.Since, err)
	}
	return out
}

// subscribe joins from now, on sink 0.
func subscribe(t *testing.T, h *Hub, name string) *Channel {
	t.Helper()
	return join(t, h, Join{Name: []byte(name)}).Channel
}

func seqs(messages []Message) []int64 {
	var out []int64
	for _, m := range messages {
		out = append(out, m.Seq)
	}
	return out
}

func wantMessages(t *testing.T, got, want []Message) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// checkHub checks all structures of a hub at rest. A channel that has no subscriber and
// is not in the wheel would live for ever.
func checkHub(t *testing.T, h *Hub) {
	t.Helper()
	inWheel := make(map[*Channel]int)
	for _, list := range append(h.expiry.slots[:], h.expiry.due) {
		for _, c := range list {
			inWheel[c]++
		}
	}
	var channels, subscribers int
	for i := range h.shards {
		for c := range h.shards[i].channels.all {
			name := c.Name()
			channels++
			subscribers += int(c.subs)
			want := 0
			if c.armed {
				want = 1
			}
			switch {
			case c.closed || h.shards[i].channels.find(c.hash, []byte(name)) != c || h.shard(h.hash([]byte(name))) != &h.shards[i]:
				t.Errorf("channel %s (closed %v) is in the hub as %s", c.Name(), c.closed, name)
			case inWheel[c] != want:
				t.Errorf("%s: %d times in the wheel, armed %v", name, inWheel[c], c.armed)
			case c.subs < 0 || c.subs == 0 && !c.armed || (c.subs > 0) != (c.sinks != 0):
				t.Errorf("%s: subs %d, sinks %b, armed %v", name, c.subs, c.sinks, c.armed)
			}
		}
	}
	if h.Channels() != channels || h.Subscribers() < subscribers {
		t.Errorf("hub counts %d channels, %d subscribers; it has %d, at least %d",
			h.Channels(), h.Subscribers(), channels, subscribers)
	}
}
