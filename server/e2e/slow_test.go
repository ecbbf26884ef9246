package e2e

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
	"icomet/server/wire"
)

// dialNarrow connects with a small receive buffer, so that little fits into the
// kernel between server and client.
func dialNarrow(t *testing.T, addr string) *client {
	t.Helper()
	c, err := servertest.DialNarrow(addr, 4096)
	return newClient(t, c, err)
}

func (s *testServer) closedBy(r reactor.CloseReason) (n uint64) {
	for _, c := range s.reactor.Counters() {
		n += c.ClosedBy[r].Load()
	}
	return n
}

func (s *testServer) frontConns() (n int64) {
	for _, c := range s.reactor.Counters() {
		n += c.Front.Load()
	}
	return n
}

// waitSubscribers waits until a channel has n subscribers.
func (s *testServer) waitSubscribers(cname string, n int) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		if got := s.hub.ChannelSubscribers([]byte(cname)); got != n {
			return fmt.Errorf("%s has %d subscribers, not %d", cname, got, n)
		}
		return nil
	})
}

func narrowServer(t *testing.T, edit func(*config.Config)) *testServer {
	return startServer(t, func(c *config.Config) {
		c.Limits.SendBuffer = 4096
		c.Limits.OutboundBuffer = 64 << 10
		if edit != nil {
			edit(c)
		}
	})
}

// TestSlowReadersAreCut has readers that never read beside one that does.
func TestSlowReadersAreCut(t *testing.T) {
	const slow, size, messages = 40, 8 << 10, 80
	s := narrowServer(t, func(c *config.Config) { c.Limits.OutboundBuffer = 256 << 10 })
	good, err := servertest.Subscribe(s.front, "stream", "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	for i := range slow {
		kind := []string{"stream", "sse", "iframe"}[i%3]
		c := dialNarrow(t, s.front)
		c.sendf("GET /%s?cname=a&seq=1 HTTP/1.%d\r\nHost: test\r\n\r\n", kind, i%2)
	}
	s.waitSubscribers("a", slow+1)
	before := heapInUse()
	text := strings.Repeat("x", size)
	most := uint64(0)
	for i := range messages {
		content := fmt.Sprint(i, "-", text)
		if _, err := s.hub.Publish(&channel.Publication{Name: []byte("a"), Content: content}); err != nil {
			t.Fatal(err)
		}
		if ms, err := good.Messages(); err != nil || ms[0].Seq != int64(i+1) || ms[0].Content != content {
			t.Fatalf("message %d: %v", i+1, err)
		}
		if i == 20 {
			most = heapInUse()
		}
	}
	s.waitSubscribers("a", 1)
	checkFor(t, patience, func() error {
		if n := s.closedBy(reactor.ReasonSlowConsumer); n != slow {
			return fmt.Errorf("%d are counted as slow, want %d", n, slow)
		}
		if n := s.frontConns(); n != 1 {
			return fmt.Errorf("%d front connections", n)
		}
		if now := heapInUse(); now > before+(2<<20) {
			return fmt.Errorf("the heap is %d over what it was, it was %d", now-before, most-before)
		}
		return nil
	})
	if most < before+slow*(100<<10) {
		t.Errorf("the slow ones held only %d bytes: the test shows nothing", most-before)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC() // pools keep what they have through one cycle
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPublisherThatDoesNotRead is cut like a subscriber, and hurts no other.
func TestPublisherThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, nil)
	c := dialNarrow(t, s.admin)
	request := "GET /push?cname=a&content=x HTTP/1.1\r\nHost: test\r\n\r\n"
	go func() {
		for {
			if _, err := io.WriteString(c.Conn, strings.Repeat(request, 50)); err != nil {
				return
			}
		}
	}()
	checkFor(t, patience, func() error {
		if s.closedBy(reactor.ReasonSlowConsumer) == 0 {
			return errors.New("it is not cut")
		}
		return nil
	})
	if got := s.call("/push?cname=b&content=y"); got != "{\"type\":\"ok\"}\n" {
		t.Errorf("another publisher gets %q", got)
	}
}

// TestPresenceWatcherThatDoesNotRead is cut; one that reads gets every line.
func TestPresenceWatcherThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, func(c *config.Config) { c.Front.ChannelTimeout = 86400 }) // no repeats
	dialNarrow(t, s.admin).get("/psub")
	good := dial(t, s.admin).get("/psub")
	good.head()
	checkFor(t, patience, func() error {
		n := int64(0)
		for _, c := range s.reactor.Counters() {
			n += c.Subscribers[wire.TransportPresence].Load()
		}
		if n != 2 {
			return fmt.Errorf("%d watch", n)
		}
		return nil
	})
	const channels = 1000
	for i := range channels {
		name := fmt.Sprintf("name%d-%s", i, strings.Repeat("n", 200))
		if _, err := s.hub.Publish(&channel.Publication{Name: []byte(name), Content: "x"}); err != nil {
			t.Fatal(err)
		}
		// In step, so that it is not slow itself.
		if got := good.chunk(); got != "1 "+name+"\n" {
			t.Fatalf("line %d is %q", i, got)
		}
	}
	checkFor(t, patience, func() error {
		if s.closedBy(reactor.ReasonSlowConsumer) != 1 {
			return errors.New("the slow one is not cut")
		}
		return nil
	})
}
