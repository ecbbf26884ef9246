package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/client"
	"icomet/server/servertest"
)

// publishing publishes m1, m2 and so on to each of its channels, until it is told to end.
type publishing struct {
	end  func()
	done sync.WaitGroup

	mu   sync.Mutex
	sent map[string]int64 // messages that are stored, by channel
}

func publishTo(t *testing.T, s *servertest.Server, names []string, publishers int) *publishing {
	t.Helper()
	end := make(chan struct{})
	p := &publishing{end: sync.OnceFunc(func() { close(end) }), sent: map[string]int64{}}
	t.Cleanup(func() {
		p.end()
		p.done.Wait()
	})
	for n := range publishers {
		share := names[n*len(names)/publishers : (n+1)*len(names)/publishers]
		p.done.Go(func() {
			admin := client.Admin{URL: s.Admin}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for number := int64(1); ; number++ {
				select {
				case <-end:
					return
				case <-tick.C:
				}
				list := []client.Publication{}
				for _, name := range share {
					list = append(list, client.Publication{Channel: name, Content: fmt.Sprint("m", number)})
				}
				results, err := admin.Batch(t.Context(), list) // it repeats what a restart has cut off
				for _, result := range results {
					err = errors.Join(err, result.Err)
				}
				if err != nil {
					t.Errorf("publishing number %d: %v", number, err)
					return
				}
				p.mu.Lock()
				for _, name := range share {
					p.sent[name] = number
				}
				p.mu.Unlock()
			}
		})
	}
	return p
}

// stop ends the publishing, and returns how many messages each channel has.
func (p *publishing) stop() (sent map[string]int64, total int64) {
	p.end()
	p.done.Wait()
	for n := range maps.Values(p.sent) {
		total += n
	}
	return p.sent, total
}

// TestMultiThroughRestarts: 50 channels over one connection, all of them published to all
// the time, through cuts, a dead network and restarts of the server: each message comes
// once, those of a channel in order, and the server says that nothing is missing.
func TestMultiThroughRestarts(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=10000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600",
				"ICOMET_ENGINE_SNAPSHOT="+filepath.Join(t.TempDir(), "snapshot"))
			proxy := servertest.NewProxy(t, s.Front)
			names, next := []string{}, map[string]int64{}
			for n := range 50 {
				name := fmt.Sprint("channel ", n)
				names, next[name] = append(names, name), 1
			}
			sub := &client.MultiSubscriber{URL: proxy.URL, Transport: transport, MinBackoff: 20 * time.Millisecond, MaxBackoff: time.Second}
			sub.OnPosition = func(channel string, r client.Recovery) {
				if !r.Recovered {
					t.Errorf("told of %s: %+v", channel, r)
				}
			}
			if err := sub.Add(all(names...)...); err != nil {
				t.Fatal(err)
			}
			var got atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for m, err := range sub.Messages(ctx) {
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Errorf("ended with %v", err)
						}
						break
					}
					if n := next[m.Channel]; m.Seq != n || m.Content != fmt.Sprint("m", n) || m.Lost != 0 || m.Restarted {
						t.Errorf("got %+v, want number %d", m, n)
					}
					next[m.Channel]++
					got.Add(1)
				}
			}()
			t.Cleanup(func() {
				cancel()
				<-ended
			})
			upTo := func(count int64) {
				t.Helper()
				servertest.CheckFor(t, servertest.Patience, func() error {
					if n := got.Load(); n < count {
						return fmt.Errorf("%d messages, want %d", n, count)
					}
					return nil
				})
			}
			more := func() { upTo(got.Load() + 200) } // in the middle of the publishing

			publishers := publishTo(t, s, names, 5)
			more()
			for range 2 {
				proxy.Cut()
				more()
				s.Stop()
				s.Restart()
				more()
				proxy.Freeze(true)
				proxy.Cut()
				s.Stop()
				s.Restart()
				proxy.Freeze(false)
				proxy.Cut()
				more()
			}
			sent, total := publishers.stop()
			upTo(total)
			for _, where := range sub.Channels() {
				if where.From.Seq != sent[where.Channel] {
					t.Errorf("%+v, want %d messages", where, sent[where.Channel])
				}
			}
			t.Logf("%d messages", total)
		})
	}
}
