package channel

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
)

// TestJoinRules: what a subscriber is given at the start, for each first seq that it may
// ask for.
func TestJoinRules(t *testing.T) {
	const buffer = 4
	for _, tc := range []struct {
		name      string
		published int
		clear     bool
		since     int64
		replay    []int64
		tellNext  bool
	}{
		{"unknown channel, from now", 0, false, 0, nil, true},
		{"unknown channel, its first", 0, false, 1, nil, false},
		{"unknown channel, later", 0, false, 2, nil, true},
		{"from now", 3, false, 0, nil, true},
		{"negative", 3, false, -1, nil, true},
		{"most negative", 3, false, math.MinInt64, nil, true},
		{"equal to next", 3, false, 4, nil, false},
		{"greater than next", 3, false, 5, nil, true},
		{"greatest", 3, false, math.MaxInt64, nil, true},
		{"the last", 3, false, 3, []int64{3}, false},
		{"the first", 3, false, 1, []int64{1, 2, 3}, false},
		{"the oldest stored", 9, false, 6, []int64{6, 7, 8, 9}, false},
		{"just left the buffer", 9, false, 5, []int64{6, 7, 8, 9}, false},
		{"long left the buffer", 9, false, 1, []int64{6, 7, 8, 9}, false},
		{"nothing stored, smaller", 3, true, 2, nil, false},
		{"nothing stored, equal", 3, true, 4, nil, false},
		{"nothing stored, greater", 3, true, 5, nil, true},
		{"nothing stored, from now", 3, true, 0, nil, true},
	} {
		for _, oneShot := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				l := small
				l.BufferSize = buffer
				h, sink := newTestHub(t, l)
				for range tc.published {
					publish(t, h, "a", "x")
				}
				if tc.clear {
					if next, err := h.Clear([]byte("a")); err != nil || next != int64(tc.published+1) {
						t.Fatalf("Clear: %d, %v", next, err)
					}
				}
				got := join(t, h, Join{Name: []byte("a"), Since: tc.since, OneShot: oneShot})
				if want := int64(tc.published + 1); got.Next != want {
					t.Errorf("Next %d, want %d", got.Next, want)
				}
				if !slices.Equal(seqs(got.Replay), tc.replay) {
					t.Errorf("replay %v, want %v", seqs(got.Replay), tc.replay)
				}
				if got.TellNext != tc.tellNext {
					t.Errorf("TellNext %v", got.TellNext)
				}
				waits := !oneShot || !tc.tellNext && tc.replay == nil
				checkSubscribed(t, h, sink, got, waits)
			})
		}
	}
}

// checkSubscribed checks whether the next message reaches a subscriber, and ends the
// subscription.
func checkSubscribed(t *testing.T, h *Hub, sink *fakeSink, got Joined, want bool) {
	t.Helper()
	subscribers := 0
	if want {
		subscribers = 1
	}
	if got.Subscribed != want || h.Subscribers() != subscribers || h.ChannelSubscribers([]byte("a")) != subscribers {
		t.Errorf("Subscribed %v, the hub counts %d, the channel %d, want %d",
			got.Subscribed, h.Subscribers(), h.ChannelSubscribers([]byte("a")), subscribers)
	}
	seq := publish(t, h, "a", "live")
	if in := sink.take(); (len(in) == 1) != want || want && (in[0].m.Seq != seq || in[0].ch != got.Channel) {
		t.Errorf("the sink got %v after the publish of %d", in, seq)
	}
	if seq != got.Next {
		t.Errorf("the next message is %d, Join said %d", seq, got.Next)
	}
	if !want {
		return
	}
	h.Leave(got.Channel, 0, true)
	publish(t, h, "a", "after")
	if in := sink.take(); len(in) != 0 || h.Subscribers() != 0 {
		t.Errorf("after Leave: the sink got %v, %d subscribers", in, h.Subscribers())
	}
}

func TestJoinAppendsToReplay(t *testing.T) {
	h, _ := newTestHub(t, small)
	publish(t, h, "a", "x")
	before := []Message{{Seq: 77}}
	got, err := h.Join(&Join{Name: []byte("a"), Since: 1, OneShot: true}, before)
	if err != nil || !slices.Equal(seqs(got.Replay), []int64{77, 1}) || got.Subscribed {
		t.Errorf("got %+v, %v", got, err)
	}
	// Nothing was appended, so a poll waits, although the slice is not empty.
	got, err = h.Join(&Join{Name: []byte("a"), Since: 2, OneShot: true}, before)
	if err != nil || !got.Subscribed {
		t.Fatalf("got %+v, %v", got, err)
	}
	h.Leave(got.Channel, 0, true)
}

func TestLeaveOfOneOfTwo(t *testing.T) {
	h, sink := newTestHub(t, small)
	c := subscribe(t, h, "a")
	subscribe(t, h, "a")
	h.Leave(c, 0, false)
	publish(t, h, "a", "x")
	wantMessages(t, sink.messages(), []Message{{Seq: 1, Content: "x", Type: Data}})
	h.Leave(c, 0, true)
}

// TestSinksGetOnlyTheirs: a message is pushed once to each sink that has a subscriber.
func TestSinksGetOnlyTheirs(t *testing.T) {
	h, first := newTestHub(t, small)
	second, third := new(fakeSink), new(fakeSink)
	if n := h.AddSink(second); n != 1 {
		t.Fatalf("the second sink has number %d", n)
	}
	h.AddSink(third)
	for _, sink := range []int{0, 0, 1} {
		join(t, h, Join{Name: []byte("a"), Sink: sink})
	}
	join(t, h, Join{Name: []byte("b"), Sink: 2})
	publish(t, h, "a", "x")
	want := []Message{{Seq: 1, Content: "x", Type: Data}}
	wantMessages(t, first.messages(), want)
	wantMessages(t, second.messages(), want)
	wantMessages(t, third.messages(), nil)
}

func TestTooManySinks(t *testing.T) {
	h := NewHub(small)
	for range MaxSinks {
		h.AddSink(new(fakeSink))
	}
	// The sink with the highest number must fit into the set.
	join(t, h, Join{Name: []byte("a"), Sink: MaxSinks - 1})
	publish(t, h, "a", "x")
	if got := h.sinks[MaxSinks-1].(*fakeSink).messages(); len(got) != 1 {
		t.Errorf("sink %d got %v", MaxSinks-1, got)
	}
	defer func() {
		if recover() == nil {
			t.Error("one sink too many was taken")
		}
	}()
	h.AddSink(new(fakeSink))
}

func TestMaxSubscribers(t *testing.T) {
	l := small
	l.MaxSubscribers = 2
	h, _ := newTestHub(t, l)
	c := subscribe(t, h, "a")
	subscribe(t, h, "a")
	if _, err := h.Join(&Join{Name: []byte("a")}, nil); !errors.Is(err, ErrTooManySubscribers) {
		t.Fatalf("the third: %v", err)
	}
	if n := h.ChannelSubscribers([]byte("a")); n != 2 || h.Subscribers() != 2 {
		t.Errorf("%d subscribers after the refusal, the hub says %d", n, h.Subscribers())
	}
	h.Leave(c, 0, false)
	subscribe(t, h, "a")
	l.MaxSubscribers = 3
	h.SetLimits(l)
	subscribe(t, h, "a")
}

func TestMaxChannels(t *testing.T) {
	l := small
	l.MaxChannels = 1
	h, _ := newTestHub(t, l)
	c := subscribe(t, h, "a")
	_, pub := h.Publish(&Publication{Name: []byte("b"), Content: "x"})
	_, sign := h.Sign([]byte("b"), 0)
	_, join := h.Join(&Join{Name: []byte("b")}, nil)
	for call, err := range map[string]error{"Publish": pub, "Sign": sign, "Join": join} {
		if !errors.Is(err, ErrTooManyChannels) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if h.Channels() != 1 || h.Alive([]byte("b")) {
		t.Error("a refused channel is there")
	}
	publish(t, h, "a", "the one that is there goes on")
	if _, err := h.Close([]byte("a")); err != nil {
		t.Fatal(err)
	}
	h.Leave(c, 0, true)
	publish(t, h, "b", "x")
}

// TestMaxChannelsExact: many goroutines compete for the last places while others free
// theirs. The limit is never exceeded.
func TestMaxChannelsExact(t *testing.T) {
	const workers, places = 8, 4
	rounds := fullSize(100_000, 20_000)
	l := small
	l.MaxChannels = places
	h := NewHub(l)
	var wg sync.WaitGroup
	for w := range workers {
		name := []byte{'a' + byte(w)}
		wg.Go(func() {
			for range rounds {
				_, err := h.Publish(&Publication{Name: name, Content: "x"})
				if n := h.Channels(); n > places {
					t.Errorf("%d channels", n)
				}
				if err == nil {
					h.Close(name)
				} else if !errors.Is(err, ErrTooManyChannels) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	checkHub(t, h)
	if h.Channels() != 0 {
		t.Errorf("%d channels are left", h.Channels())
	}
}
