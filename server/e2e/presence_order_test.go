package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/wire"
)

// TestPresenceOrder creates and closes the same channels from several goroutines
// while watchers on all loops look: each sees every channel's lines in turn, online
// before offline, and none is missing.
func TestPresenceOrder(t *testing.T) {
	t.Parallel()
	const names, rounds, watchers = 8, 150, 6
	s := startServer(t, func(c *config.Config) {
		c.Runtime.EventLoops = 3
		c.Front.ChannelTimeout = 86400 // no repeats
		c.Limits.OutboundBuffer = 16 << 20
	})
	var ws []*client
	for range watchers {
		w := dial(t, s.admin).get("/psub")
		w.head()
		ws = append(ws, w)
	}
	checkFor(t, patience, func() error {
		n := int64(0)
		for _, c := range s.reactor.Counters() {
			n += c.Subscribers[wire.TransportPresence].Load()
		}
		if n != watchers {
			return fmt.Errorf("%d watch", n)
		}
		return nil
	})
	var writers, readers sync.WaitGroup
	for i := range names {
		writers.Go(func() {
			for range rounds {
				name := fmt.Appendf(nil, "n%d", i)
				if _, err := s.hub.Publish(&channel.Publication{Name: name, Content: "x"}); err != nil {
					t.Error(err)
				}
				if _, err := s.hub.Close(name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, w := range ws {
		readers.Go(func() {
			turns := make(map[string]int)
			for range 2 * names * rounds {
				line, err := w.Chunk()
				if err != nil {
					t.Error(err)
					return
				}
				state, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
				if want := []string{"1", "0"}[turns[name]%2]; state != want {
					t.Errorf("%s: line %d is %q", name, turns[name], line)
					return
				}
				turns[name]++
			}
			for i := range names {
				if n := turns[fmt.Sprint("n", i)]; n != 2*rounds {
					t.Errorf("n%d has %d lines", i, n)
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	if n := s.hub.PresenceDropped(); n != 0 {
		t.Errorf("%d lines were dropped", n)
	}
	for _, w := range ws {
		_ = w.Close()
	}
	checkFor(t, patience, s.checkIdle)
	if set := s.hubWatching(); set {
		t.Error("the hub still tells of presence")
	}
}

// hubWatching reports whether a new channel is still queued for somebody.
func (s *testServer) hubWatching() bool {
	release := s.pauseAll()
	defer release()
	if _, err := s.hub.Publish(&channel.Publication{Name: []byte("is anybody there"), Content: "x"}); err != nil {
		s.t.Error(err)
	}
	watched := false
	for _, c := range s.reactor.Counters() {
		watched = watched || c.Queued.Load() > 0
	}
	_, _ = s.hub.Close([]byte("is anybody there"))
	return watched
}
