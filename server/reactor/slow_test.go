package reactor

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// narrow makes little fit into the kernel, and into the queue.
func narrow(set *Settings) { set.SendBuffer, set.OutboundBuffer = 4096, 64<<10 }

// TestEmptyQueueTakesAnyWrite gives a message, a group and a replay, each many times
// the limit, to a client with nothing queued. It reads slowly, and gets all of it.
func TestEmptyQueueTakesAnyWrite(t *testing.T) {
	t.Parallel()
	s := start(t, 2, func(set *Settings) { narrow(set); set.OutboundBuffer = 1 << 10 })
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
		s.publish("a", fmt.Sprint(seq, "-", text))
	}
	publish(1)
	read(c, 1, 1)
	s.waitFlushed()
	var releases []func()
	for _, l := range s.loops {
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
	if n := s.closedBy(ReasonSlowConsumer); n != 0 {
		t.Errorf("%d were cut", n)
	}
}

// waitFlushed waits until gnet holds no output for any subscriber.
func (s *testReactor) waitFlushed() {
	s.t.Helper()
	s.checkFor(func() error {
		held := make(chan int, len(s.loops))
		for _, l := range s.loops {
			l.post(func() {
				n := 0
				for _, c := range l.conns() {
					n += c.outbound()
				}
				held <- n
			})
		}
		for range s.loops {
			if n := <-held; n > 0 {
				return fmt.Errorf("%d bytes are held", n)
			}
		}
		return nil
	})
}

// TestSlowLastAnswerGoesOut has answers that end the connection, larger than what
// the kernel takes: all of it arrives before the end (gnet facts 3 and 4).
func TestSlowLastAnswerGoesOut(t *testing.T) {
	t.Parallel()
	s := start(t, 2, narrow)
	text := strings.Repeat("z", 500<<10)
	s.publish("a", text)
	c := dialNarrow(t, s.front)
	c.send("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	s.checkDraining(1) // the server has done its part before the first byte is read
	if status, body, err := c.Answer(); status != http.StatusOK || len(body) < len(text) {
		t.Errorf("%d with %d bytes, %v", status, len(body), err)
	}
	c.expectEnd()
	_ = c.Close()
	s.checkFor(func() error {
		if s.closedBy(ReasonAnswered) != 1 {
			return errors.New("not closed as answered")
		}
		return nil
	})
}

// checkDraining waits until n connections are getting their last answer out.
func (s *testReactor) checkDraining(n int) {
	s.t.Helper()
	s.checkFor(func() error {
		got := 0
		for _, l := range s.loops {
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
	t.Parallel()
	s := start(t, 2, func(set *Settings) { narrow(set); set.RequestTimeout = 300 * time.Millisecond })
	s.publish("a", strings.Repeat("z", 500<<10))
	c := dialNarrow(t, s.front)
	c.send("GET /sub?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	s.checkFor(func() error {
		if s.closedBy(ReasonFlush) != 1 {
			return errors.New("it is not ended")
		}
		return nil
	})
	s.checkFor(s.checkIdle)
}
