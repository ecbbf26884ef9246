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

// follower checks what a MultiSubscriber yields of channels that are published to: each
// message once, and those of a channel in order.
type follower struct {
	t     *testing.T
	names []string
	next  map[string]int64
	got   atomic.Int64
}

// follow runs sub, which is to be told that nothing is missing, with 50 channels.
func follow(t *testing.T, sub *client.MultiSubscriber) *follower {
	t.Helper()
	f := &follower{t: t, next: map[string]int64{}}
	for n := range 50 {
		name := fmt.Sprint("channel ", n)
		f.names, f.next[name] = append(f.names, name), 1
	}
	sub.MinBackoff, sub.MaxBackoff = 20*time.Millisecond, time.Second
	sub.OnPosition = func(channel string, r client.Recovery) {
		if !r.Recovered {
			t.Errorf("told of %s: %+v", channel, r)
		}
	}
	if err := sub.Add(all(f.names...)...); err != nil {
		t.Fatal(err)
	}
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
			if n := f.next[m.Channel]; m.Seq != n || m.Content != fmt.Sprint("m", n) || m.Lost != 0 || m.Restarted {
				t.Errorf("got %+v, want number %d", m, n)
			}
			f.next[m.Channel]++
			f.got.Add(1)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// upTo waits for so many messages.
func (f *follower) upTo(count int64) {
	f.t.Helper()
	err := servertest.Poll(servertest.Patience, func() error {
		if n := f.got.Load(); n < count {
			return fmt.Errorf("%d messages, want %d", n, count)
		}
		return nil
	})
	if err != nil {
		f.t.Error(err) // any goroutine may call this
	}
}

// more waits for messages in the middle of the publishing.
func (f *follower) more(count int64) {
	f.t.Helper()
	f.upTo(f.got.Load() + count)
}

// whole waits for all that is published, and compares where the channels are then.
func (f *follower) whole(p *publishing, sub *client.MultiSubscriber) {
	f.t.Helper()
	sent, total := p.stop()
	f.upTo(total)
	channels := sub.Channels()
	for _, where := range channels {
		if where.From.Seq != sent[where.Channel] {
			f.t.Errorf("%+v, want %d messages", where, sent[where.Channel])
		}
	}
	if len(channels) != len(f.names) {
		f.t.Errorf("%d channels", len(channels))
	}
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
			sub := &client.MultiSubscriber{URL: proxy.URL, Transport: transport}
			f := follow(t, sub)
			publishers := publishTo(t, s, f.names, 5)
			f.more(200)
			for range 2 {
				proxy.Cut()
				f.more(200)
				s.Stop()
				s.Restart()
				f.more(200)
				proxy.Freeze(true)
				proxy.Cut()
				s.Stop()
				s.Restart()
				proxy.Freeze(false)
				proxy.Cut()
				f.more(200)
			}
			f.whole(publishers, sub)
		})
	}
}

// TestMultiChangesThroughCuts: channels are removed and added again by several goroutines
// while connections break; where Remove says that a channel was, it goes on.
func TestMultiChangesThroughCuts(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=10000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
			proxy := servertest.NewProxy(t, s.Front)
			sub := &client.MultiSubscriber{URL: proxy.URL, Transport: transport}
			f := follow(t, sub)
			publishers := publishTo(t, s, f.names, 5)
			var changers sync.WaitGroup
			for n := range 4 {
				mine := f.names[n*12 : n*12+12]
				changers.Go(func() {
					for round := range 40 {
						name := mine[round*5%len(mine)]
						last, there := sub.Remove(name)
						if !there {
							t.Errorf("%s is not there", name)
						}
						f.more(10)
						if err := sub.Add(last); err != nil {
							t.Error(err)
						}
					}
				})
			}
			for range 4 {
				f.more(300)
				proxy.Cut()
			}
			changers.Wait()
			f.whole(publishers, sub)
		})
	}
}
