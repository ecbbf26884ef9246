package snapshot

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"icomet/channel"
)

func TestMeasure(t *testing.T) {
	n := 1_000_000
	limits := channel.Limits{MaxChannels: 2 * n, MaxSubscribers: 10, BufferSize: 10, Timeout: time.Hour}
	heap := func() uint64 {
		runtime.GC()
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		return ms.HeapAlloc
	}
	before := heap()
	hub := channel.NewHub(limits)
	for i := range n {
		if _, err := hub.Publish(&channel.Publication{Name: fmt.Appendf(nil, "channel-%d", i), Content: fmt.Sprintf("message number %d of some length", i)}); err != nil {
			t.Fatal(err)
		}
	}
	live := heap() - before
	s, err := Open(filepath.Join(t.TempDir(), "snap"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	saved, err := s.Save(hub, begun)
	t.Logf("saved %+v in %v, %v; live %d MB, after %d", saved, time.Since(begun), err, live>>20, (heap()-before)>>20)
	runtime.KeepAlive(hub)
	hub = nil
	before = heap()
	stop := make(chan struct{})
	peak := make(chan uint64)
	go func() {
		var most uint64
		for {
			var ms runtime.MemStats
			runtime.ReadMemStats(&ms)
			most = max(most, ms.HeapAlloc)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	begun = time.Now()
	hub = channel.NewHub(limits)
	l, err := s.Load(hub, begun)
	took := time.Since(begun)
	close(stop)
	most := <-peak
	t.Logf("loaded %+v in %v, %v; live %d MB, peak %d MB", l, took, err, (heap()-before)>>20, (most-before)>>20)
	if hub.Channels() != n {
		t.Error(hub.Channels())
	}
}
