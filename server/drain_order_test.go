package server

import (
	"log/slog"
	"testing"
	"time"
)

// TestShutdownIsWhole: whoever sees that the server is leaving sees since when. Else a
// tick in between would find the time of a server that has run for long over, and stop it.
func TestShutdownIsWhole(t *testing.T) {
	s := bareLoop(t).reactor
	s.log = slog.New(slog.DiscardHandler)
	s.loops[0].stats.front.Store(1)
	s.started = time.Now().Add(-time.Hour)
	for range 20_000 {
		s.drainFrom.Store(0)
		s.draining.Store(false)
		over := make(chan bool)
		go func() {
			for !s.draining.Load() {
			}
			over <- s.drained()
		}()
		s.Shutdown()
		if <-over {
			t.Fatal("the drain is over when it begins")
		}
	}
}
