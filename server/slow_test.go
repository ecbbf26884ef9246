package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// dialNarrow connects with a small receive buffer, so that little fits into the
// kernel between server and client.
func dialNarrow(t *testing.T, addr string) *client {
	t.Helper()
	c, err := servertest.DialNarrow(addr, 4096)
	return newClient(t, c, err)
}

func (s *testServer) closedBy(r closeReason) (n uint64) {
	for _, l := range s.reactor.loops {
		n += l.stats.closedBy[r].Load()
	}
	return n
}

func (s *testServer) frontConns() (n int64) {
	for _, l := range s.reactor.loops {
		n += l.stats.front.Load()
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

func narrowServer(t *testing.T, edit func(*Config)) *testServer {
	return startServer(t, func(c *Config) {
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
	s := narrowServer(t, func(c *Config) { c.Limits.OutboundBuffer = 256 << 10 })
	good, err := openFeed(s.front, "stream", "a", 1)
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
		if _, err := s.hub.Publish([]byte("a"), content); err != nil {
			t.Fatal(err)
		}
		if ms, err := good.read(); err != nil || ms[0].Seq != int64(i+1) || ms[0].Content != content {
			t.Fatalf("message %d: %v", i+1, err)
		}
		if i == 20 {
			most = heapInUse()
		}
	}
	s.waitSubscribers("a", 1)
	checkFor(t, patience, func() error {
		if n := s.closedBy(reasonSlowConsumer); n != slow {
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

// TestEmptyQueueTakesAnyWrite gives a message, a group and a replay, each many times
// the limit, to a client with nothing queued. It reads slowly, and gets all of it.
func TestEmptyQueueTakesAnyWrite(t *testing.T) {
	s := narrowServer(t, func(c *Config) { c.Limits.OutboundBuffer = 1 << 10 })
	text := strings.Repeat("y", 300<<10)
	read := func(c *client, from, to int) {
		t.Helper()
		for seq := from; seq <= to; seq++ {
			got := c.chunk()
			if want := fmt.Sprintf(`"seq":%d,"content":"%d-y`, seq, seq); !strings.Contains(got[:100], want) || len(got) < len(text) {
				t.Fatalf("chunk %d: %d bytes: %s", seq, len(got), got[:100])
			}
		}
	}
	c := dialNarrow(t, s.front).get("/stream?cname=a&seq=1")
	c.head()
	publish := func(seq int) {
		if _, err := s.hub.Publish([]byte("a"), fmt.Sprint(seq, "-", text)); err != nil {
			t.Fatal(err)
		}
	}
	publish(1)
	read(c, 1, 1)
	s.waitFlushed()
	var releases []func()
	for _, l := range s.reactor.loops {
		releases = append(releases, pause(l))
	}
	for seq := 2; seq <= 4; seq++ {
		publish(seq)
	}
	for _, release := range releases {
		release()
	}
	read(c, 2, 4)
	replay := dialNarrow(t, s.front).get("/stream?cname=a&seq=1")
	replay.head()
	read(replay, 1, 4)
	if n := s.closedBy(reasonSlowConsumer); n != 0 {
		t.Errorf("%d were cut", n)
	}
}

// waitFlushed waits until gnet holds no output for any subscriber.
func (s *testServer) waitFlushed() {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		held := make(chan int, len(s.reactor.loops))
		for _, l := range s.reactor.loops {
			l.post(func() {
				n := 0
				for _, c := range l.conns() {
					n += c.outbound()
				}
				held <- n
			})
		}
		for range s.reactor.loops {
			if n := <-held; n > 0 {
				return fmt.Errorf("%d bytes are held", n)
			}
		}
		return nil
	})
}

// TestPublisherThatDoesNotRead is cut like a subscriber, and hurts no other.
func TestPublisherThatDoesNotRead(t *testing.T) {
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
		if s.closedBy(reasonSlowConsumer) == 0 {
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
	s := narrowServer(t, func(c *Config) { c.Front.ChannelTimeout = 86400 }) // no repeats
	dialNarrow(t, s.admin).get("/psub")
	good := dial(t, s.admin).get("/psub")
	good.head()
	checkFor(t, patience, func() error {
		n := int64(0)
		for _, l := range s.reactor.loops {
			n += l.stats.subscribers[transportPresence].Load()
		}
		if n != 2 {
			return fmt.Errorf("%d watch", n)
		}
		return nil
	})
	const channels = 1000
	for i := range channels {
		name := fmt.Sprintf("name%d-%s", i, strings.Repeat("n", 200))
		if _, err := s.hub.Publish([]byte(name), "x"); err != nil {
			t.Fatal(err)
		}
		// In step, so that it is not slow itself.
		if got := good.chunk(); got != "1 "+name+"\n" {
			t.Fatalf("line %d is %q", i, got)
		}
	}
	checkFor(t, patience, func() error {
		if s.closedBy(reasonSlowConsumer) != 1 {
			return errors.New("the slow one is not cut")
		}
		return nil
	})
}

// TestSlowLastAnswerGoesOut has answers that end the connection, larger than what
// the kernel takes: all of it arrives before the end (gnet facts 3 and 4).
func TestSlowLastAnswerGoesOut(t *testing.T) {
	s := narrowServer(t, nil)
	text := strings.Repeat("z", 500<<10)
	if _, err := s.hub.Publish([]byte("a"), text); err != nil {
		t.Fatal(err)
	}
	c := dialNarrow(t, s.front)
	c.sendf("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	s.checkDraining(1) // the server has done its part before the first byte is read
	if status, body := c.response(); status != http.StatusOK || len(body) < len(text) {
		t.Errorf("%d with %d bytes", status, len(body))
	}
	c.expectEnd()
	_ = c.Close()
	checkFor(t, patience, func() error {
		if s.closedBy(reasonAnswered) != 1 {
			return errors.New("not closed as answered")
		}
		return nil
	})
}

// checkDraining waits until n connections are getting their last answer out.
func (s *testServer) checkDraining(n int) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		got := 0
		for _, l := range s.reactor.loops {
			count := make(chan int)
			l.post(func() {
				k := 0
				for i := range l.wheel.slots {
					for c := l.wheel.slots[i]; c != nil; c = c.timeNext {
						if c.state == stateDraining {
							k++
						}
					}
				}
				count <- k
			})
			got += <-count
		}
		if got != n {
			return fmt.Errorf("%d connections drain, not %d", got, n)
		}
		return nil
	})
}

// TestFlushTimeout ends a client that never takes its last answer.
func TestFlushTimeout(t *testing.T) {
	s := narrowServer(t, func(c *Config) { c.Limits.RequestTimeout = Duration(300 * time.Millisecond) })
	if _, err := s.hub.Publish([]byte("a"), strings.Repeat("z", 500<<10)); err != nil {
		t.Fatal(err)
	}
	c := dialNarrow(t, s.front)
	c.sendf("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	checkFor(t, patience, func() error {
		if s.closedBy(reasonFlush) != 1 {
			return errors.New("it is not ended")
		}
		return nil
	})
	checkFor(t, patience, s.checkIdle)
}
