package channel

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func watch(t *testing.T, l Limits) (*Hub, *fakeSink) {
	h, sink := newTestHub(t, l)
	h.WatchPresence(0, true)
	return h, sink
}

func TestPresenceOfALife(t *testing.T) {
	const s = time.Second
	online, offline := []Message{{Seq: 0, Content: "a", Type: Online}}, []Message{{Seq: 0, Content: "a", Type: Offline}}
	h, sink := watch(t, small)
	c := &clock{h: h}
	for _, create := range []func(){
		func() { publish(t, h, "a", "x") },
		func() { sign(t, h, "a") },
		func() { join(t, h, Join{Name: []byte("a"), OneShot: true}) },
	} {
		create()
		got := sink.take()
		if len(got) != 1 || got[0].ch != nil {
			t.Fatalf("at creation: %v", got)
		}
		wantMessages(t, []Message{got[0].m}, online)
		publish(t, h, "a", "no news")
		wantMessages(t, sink.messages(), nil)
		h.Close([]byte("a"))
		wantMessages(t, sink.messages(), offline)
	}
	h.Sign([]byte("a"), s)
	wantMessages(t, sink.messages(), online)
	c.to(2 * s)
	wantMessages(t, slices.DeleteFunc(sink.messages(), func(m Message) bool { return m.Type == Online }), offline)
}

// TestPresenceRepeats: each channel is announced once per Timeout, always at the same
// point of the period, and the announcements are spread over it.
func TestPresenceRepeats(t *testing.T) {
	const channels, periods = 1000, 4
	h, sink := watch(t, small)
	for i := range channels {
		subscribe(t, h, fmt.Sprint("c", i))
	}
	sink.take()
	times := make(map[string][]time.Duration)
	most, buckets := 0, 10
	perBucket := make([]int, buckets)
	for c := (&clock{h: h}); c.now < periods*small.Timeout; {
		c.to(c.now + tick)
		for _, m := range sink.messages() {
			if m.Type != Online {
				t.Fatalf("got %v", m)
			}
			times[m.Content] = append(times[m.Content], c.now)
			perBucket[int((c.now-tick)%small.Timeout*time.Duration(buckets)/small.Timeout)]++
		}
	}
	for name, at := range times {
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < small.Timeout-tick || d > small.Timeout+tick {
				t.Fatalf("%s: announced at %v", name, at)
			}
		}
		// The last shard may have its turn just after the end.
		if len(at) != periods && len(at) != periods-1 {
			t.Fatalf("%s: announced %d times", name, len(at))
		}
	}
	if len(times) != channels {
		t.Fatalf("%d of %d channels were announced", len(times), channels)
	}
	for _, n := range perBucket {
		most = max(most, n)
	}
	if fair := channels * periods / buckets; most > 2*fair {
		t.Errorf("%d announcements in a tenth of the period, evenly would be %d: %v", most, fair, perBucket)
	}
}

func TestPresenceNoneWhenNobodyWatches(t *testing.T) {
	h, sink := watch(t, small)
	h.AddSink(new(fakeSink))
	h.WatchPresence(1, true)
	h.WatchPresence(0, false)
	publish(t, h, "a", "x")
	c := &clock{h: h}
	c.to(20 * time.Second)
	h.Close([]byte("a"))
	wantMessages(t, sink.messages(), nil)
	if len(h.sinks[1].(*fakeSink).messages()) < 2 {
		t.Error("the sink that watches got nothing")
	}
	if h.PresenceDropped() != 0 {
		t.Error("what nobody wanted was counted as dropped")
	}
}

// TestPresenceDropped: a full sink loses its own messages only, and each loss is counted.
func TestPresenceDropped(t *testing.T) {
	h, full := watch(t, small)
	other := new(fakeSink)
	h.AddSink(other)
	h.WatchPresence(1, true)
	full.limit = 1
	for _, name := range []string{"a", "b", "c"} {
		publish(t, h, name, "x")
	}
	h.Close([]byte("b"))
	wantMessages(t, full.messages(), []Message{{Seq: 0, Content: "a", Type: Online}})
	wantMessages(t, other.messages(), []Message{{Seq: 0, Content: "a", Type: Online}, {Seq: 0, Content: "b", Type: Online}, {Seq: 0, Content: "c", Type: Online}, {Seq: 0, Content: "b", Type: Offline}})
	if n := h.PresenceDropped(); n != 3 {
		t.Errorf("%d dropped, want 3", n)
	}
}

// TestPresenceRepeatsWait: while a watching sink is half full the repeats wait;
// afterwards none is left out.
func TestPresenceRepeatsWait(t *testing.T) {
	h, sink := watch(t, small)
	for i := range 200 {
		subscribe(t, h, fmt.Sprint("c", i))
	}
	sink.take()
	h.push(nil, Message{Content: "in the way", Type: Online}, 1)
	h.wake(1)
	sink.limit = 2
	c := &clock{h: h}
	c.to(small.Timeout / 2)
	if got := sink.messages(); len(got) != 1 {
		t.Fatalf("%d messages while half full", len(got)-1)
	}
	sink.limit = 0
	c.to(small.Timeout - tick)
	seen := make(map[string]int)
	for _, m := range sink.messages() {
		seen[m.Content]++
	}
	c.to(small.Timeout + tick)
	for _, m := range sink.messages() {
		seen[m.Content]++
	}
	for name, n := range seen {
		if n > 2 {
			t.Errorf("%s announced %d times", name, n)
		}
	}
	if len(seen) != 200 || h.PresenceDropped() != 0 {
		t.Errorf("%d of 200 announced, %d dropped", len(seen), h.PresenceDropped())
	}
}
