package redis

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestReadyTime: Ready follows Redis when it has been away for a second, or back for two;
// not a connection that breaks. Its time is the bubble's: no sleep takes any.
func TestReadyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(group)
		e := &Engine{
			opts: Options{Addresses: []string{"host:1"}}, groups: map[string]*group{"": g}, stop: make(chan struct{}),
		}
		g.live.Store(true)
		e.workers.Go(e.readyLoop)
		defer e.workers.Wait()
		defer close(e.stop)
		// lasts sets whether Redis is there, and wants Ready to say so all the time.
		lasts := func(live, ready bool, d time.Duration) {
			t.Helper()
			g.live.Store(live)
			for start := time.Now(); time.Since(start) < d; {
				time.Sleep(readyTick / 2)
				synctest.Wait()
				if err := e.Ready(); (err == nil) != ready {
					t.Fatalf("Redis there: %v, for %v: Ready says %v", live, time.Since(start), err)
				}
			}
		}
		// changes wants Ready to change once the limit is over.
		changes := func(live bool, limit time.Duration) {
			t.Helper()
			lasts(live, !live, limit)
			time.Sleep(2 * readyTick)
			synctest.Wait()
			lasts(live, live, 10*time.Second)
		}
		lasts(true, true, 10*time.Second)
		for range 10 {
			lasts(false, true, 900*time.Millisecond)
			lasts(true, true, 500*time.Millisecond)
		}
		changes(false, awayLimit)
		for range 10 {
			lasts(true, false, 1900*time.Millisecond)
			lasts(false, false, 500*time.Millisecond)
		}
		changes(true, backLimit)
	})
}
