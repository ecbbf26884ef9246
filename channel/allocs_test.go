//go:build !race

package channel

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// The race detector allocates, so these tests run without it.

// wantAllocs is exact: what a call is allowed to allocate is 0.
func wantAllocs(t *testing.T, call string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(2000, f); n != 0 {
		t.Errorf("%s allocates %v times", call, n)
	}
}

func newNullHub(l Limits) *Hub {
	h := NewHub(l)
	h.AddSink(benchSink{})
	return h
}

func TestAllocsPublish(t *testing.T) {
	h := newNullHub(small)
	name := []byte("a channel that is there")
	join(t, h, Join{Name: name})
	for range small.BufferSize {
		publish(t, h, string(name), "x")
	}
	wantAllocs(t, "Hub.Publish", func() { h.Publish(&Publication{Name: name, Content: "content"}) })

	m := NewMemory(h)
	defer m.Stop()
	wantAllocs(t, "Memory.Publish", func() { m.Publish(&Publication{Name: name, Content: "content"}, benchDone{}) })
	wantAllocs(t, "Broadcast to one channel", func() { h.broadcastTo(h.shard(h.hash(name)).channels.find(h.hash(name), name), "x", "", nil) })
}

func TestAllocsJoinLeave(t *testing.T) {
	h := newNullHub(small)
	name := []byte("a channel that is there")
	for range small.BufferSize {
		publish(t, h, string(name), "x")
	}
	token := []byte(sign(t, h, string(name)).Token)
	replay := make([]Message, 0, small.BufferSize)
	for _, j := range []Join{
		{Name: name},
		{Name: name, Since: 1},
		{Name: name, Since: 1, OneShot: true},
		{Name: name, Since: 1, Auth: true, Token: token},
	} {
		wantAllocs(t, fmt.Sprintf("Join and Leave (since %d, poll %v)", j.Since, j.OneShot), func() {
			got, err := h.Join(&j, replay)
			if err != nil {
				t.Fatal(err)
			}
			if got.Subscribed {
				h.Leave(got.Channel, 0, true)
			}
		})
	}
}

func TestAllocsAsking(t *testing.T) {
	h := newNullHub(small)
	name := []byte("a channel that is there")
	join(t, h, Join{Name: name})
	now := time.Duration(0)
	h.WatchPresence(0, true)
	wantAllocs(t, "Alive, ChannelSubscribers", func() { h.Alive(name); h.ChannelSubscribers(name) })
	wantAllocs(t, "Tick", func() { now += tick; h.Tick(now) })
}

// TestAllocsIdleChannel measures what a channel costs, with its table entry and its place
// in the wheel. The bounds leave room for the growth of the tables; DESIGN.md has the
// figures.
func TestAllocsIdleChannel(t *testing.T) {
	for _, tc := range []struct {
		name  string
		use   func(h *Hub, name []byte)
		bound int64
	}{
		{"subscribed", func(h *Hub, name []byte) { h.Join(&Join{Name: name}, nil) }, 200},
		{"signed", func(h *Hub, name []byte) { h.Sign(name, time.Minute) }, 240},
		{"one message", func(h *Hub, name []byte) { h.Publish(&Publication{Name: name, Content: "x"}) }, 300},
	} {
		const channels = 200_000
		l := small
		l.MaxChannels = channels
		before := heap()
		h := newNullHub(l)
		for i := range channels {
			tc.use(h, fmt.Appendf(nil, "user-%08d", i))
		}
		per := (heap() - before) / channels
		runtime.KeepAlive(h)
		t.Logf("%s: %d bytes", tc.name, per)
		if per > tc.bound || per < 80 {
			t.Errorf("%s: %d bytes a channel, want at most %d", tc.name, per, tc.bound)
		}
	}
}

// heap is the number of live bytes after a garbage collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
