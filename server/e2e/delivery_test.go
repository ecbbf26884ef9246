package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
	"icomet/server/wire"
)

const (
	stormChannels   = 5
	stormPublishers = 4
	stormMessages   = 240 // of each publisher
	stormBroadcasts = 20
)

func stormChannel(i int) string { return fmt.Sprintf("storm%d", i%stormChannels) }

// stormPublish publishes to all channels in turn, group requests at a time.
func stormPublish(addr string, who, group int) error {
	p, err := servertest.OpenPublisher(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := 0; i < stormMessages; {
		var paths []string
		for range group {
			paths = append(paths, fmt.Sprintf("/push?cname=%s&content=p%d-%06d", stormChannel(i), who, i))
			i++
		}
		if err := p.Calls(paths...); err != nil {
			return err
		}
	}
	return nil
}

func stormBroadcast(addr string) error {
	p, err := servertest.OpenPublisher(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range stormBroadcasts {
		if err := p.Calls(fmt.Sprintf("/broadcast?content=b-%06d", i)); err != nil {
			return err
		}
	}
	return nil
}

// stormLog has what every subscriber of a channel must see, by seq.
type stormLog struct {
	mu       sync.Mutex
	contents map[string]string
}

func (l *stormLog) check(m servertest.Message) error {
	key := fmt.Sprintf("%s/%d", m.Cname, m.Seq)
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.contents[key]; ok && was != m.Content {
		return fmt.Errorf("%s is %q to one subscriber and %q to another", key, was, m.Content)
	}
	l.contents[key] = m.Content
	return nil
}

// TestNoGapNoReorderInTheStorm has subscribers on all transports that were there
// before, that come late and want everything, and that come late and want what is
// new, while publishers and broadcasts run.
func TestNoGapNoReorderInTheStorm(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) {
		c.Runtime.EventLoops = 3
		c.Front.ChannelBufferSize = 10_000
	})
	seen := &stormLog{contents: make(map[string]string)}
	var readers, writers sync.WaitGroup
	var open atomic.Int32
	failed := make(chan error, 1000)
	subscribe := func(kind, cname string, seq int64) {
		readers.Go(func() {
			f, err := servertest.Subscribe(s.front, kind, cname, seq)
			open.Add(1)
			if err == nil {
				defer f.Close()
				err = f.Follow("end", seen.check)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	for i := range stormChannels {
		for _, kind := range servertest.AllKinds {
			subscribe(kind, stormChannel(i), 1)
		}
	}
	checkFor(t, patience, func() error {
		if n := open.Load(); int(n) < stormChannels*len(servertest.AllKinds) {
			return fmt.Errorf("%d subscribers are there", n)
		}
		return nil
	})
	for who := range stormPublishers {
		writers.Go(func() {
			group := 1
			if who%2 == 1 {
				group = 16
			}
			if err := stormPublish(s.admin, who, group); err != nil {
				failed <- err
			}
		})
	}
	writers.Go(func() {
		if err := stormBroadcast(s.admin); err != nil {
			failed <- err
		}
	})
	for i := range stormChannels {
		for _, kind := range servertest.AllKinds {
			subscribe(kind, stormChannel(i), 1)
			if kind != "poll" && kind != "sub" { // these would be told the next seq for ever
				subscribe(kind, stormChannel(i), 0)
			}
		}
	}
	writers.Wait()
	checkFor(t, patience, func() error { // a subscriber from now on must not come after the end
		if n := open.Load(); int(n) < stormChannels*(3*len(servertest.AllKinds)-2) {
			return fmt.Errorf("%d subscribers are there", n)
		}
		return nil
	})
	for i := range stormChannels {
		s.call("/push?content=end&cname=" + stormChannel(i))
	}
	readers.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	seen.checkComplete(t)
	checkFor(t, patience, s.checkIdle)
}

// checkComplete checks that each channel has every message once, those of one
// publisher in their order.
func (l *stormLog) checkComplete(t *testing.T) {
	for i := range stormChannels {
		count, latest := 0, make(map[string]string)
		for seq := int64(1); ; seq++ {
			content, ok := l.contents[fmt.Sprintf("%s/%d", stormChannel(i), seq)]
			if !ok {
				break
			}
			count++
			who, number, _ := strings.Cut(content, "-")
			if number <= latest[who] && content != "end" {
				t.Errorf("%s: %q comes after %q", stormChannel(i), content, latest[who])
			}
			latest[who] = number
		}
		if want := stormPublishers*stormMessages/stormChannels + stormBroadcasts + 1; count != want {
			t.Errorf("%s has %d messages, want %d", stormChannel(i), count, want)
		}
	}
}

// checkIdle reports what does not come back to zero when everybody has gone.
func (s *testServer) checkIdle() error {
	if n := s.hub.Subscribers(); n != 0 {
		return fmt.Errorf("%d subscribers are counted", n)
	}
	if n, _ := s.reactor.Connections(); n != 0 {
		return fmt.Errorf("%d connections are counted", n)
	}
	for i, c := range s.reactor.Counters() {
		if n, b := c.Queued.Load(), c.QueuedBytes.Load(); n != 0 || b != 0 {
			return fmt.Errorf("loop %d: %d messages, %d bytes are queued", i, n, b)
		}
		for k := range c.Subscribers {
			if n := c.Subscribers[k].Load(); n != 0 {
				return fmt.Errorf("loop %d: %d subscribers by %v", i, n, wire.Transport(k))
			}
		}
	}
	for i, l := range s.reactor.Inspect() {
		if l.Batches != 0 {
			return fmt.Errorf("loop %d: %d batches at work", i, l.Batches)
		}
	}
	return nil
}
