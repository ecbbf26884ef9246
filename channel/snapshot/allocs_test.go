//go:build !race

package snapshot

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"icomet/channel"
)

const (
	// manyChannels is what the figures in DESIGN.md are of.
	manyChannels = 1_000_000
	// loadLimit is how long loading them may take, on a machine that does nothing else.
	loadLimit = 3 * time.Second
)

// heap is what is reachable, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// highest samples the heap until the returned function is called, which returns the most
// that was in use.
func highest() func() uint64 {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for high := uint64(0); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			high = max(high, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-stop:
				most <- high
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-most
	}
}

// TestAllocsManyChannels: neither saving nor loading takes memory besides that of the
// channels.
func TestAllocsManyChannels(t *testing.T) {
	l := limits()
	empty := heap()
	hub := channel.NewHub(l)
	for i := range manyChannels {
		publish(t, hub, channel.Publication{Name: fmt.Appendf(nil, "channel-%d", i), Content: fmt.Sprintf("the message of channel number %d", i)})
	}
	live := int64(heap() - empty)
	s := open(t)

	high := highest()
	begun := time.Now()
	saved, err := s.Save(hub, begun)
	took := time.Since(begun)
	more := int64(high()-empty) - live
	t.Logf("saving took %v and %d KiB, for a file of %d KiB; the channels have %d KiB", took, more>>10, saved.Size>>10, live>>10)
	if err != nil || saved.Channels != manyChannels || more > live/10 {
		t.Errorf("%+v, %v", saved, err)
	}
	runtime.KeepAlive(hub)
	hub = nil

	empty = heap()
	high = highest()
	begun = time.Now()
	hub = channel.NewHub(l)
	loaded, err := s.Load(hub, begun)
	took = time.Since(begun)
	most := int64(high() - empty)
	t.Logf("loading took %v and at most %d KiB", took, most>>10)
	if err != nil || loaded.Restored.Channels != manyChannels || most > live+live/4 {
		t.Errorf("%+v, %v", loaded, err)
	}
	if os.Getenv("ICOMET_TORTURE") == "full" && took > loadLimit {
		t.Errorf("loading took %v", took)
	}
	runtime.KeepAlive(hub)
}
