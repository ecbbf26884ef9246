package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// TestTimeoutsOverSockets has one connection for each timeout.
func TestTimeoutsOverSockets(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) {
		c.Limits.RequestTimeout = config.Duration(400 * time.Millisecond)
		c.Limits.IdleTimeout = config.Duration(900 * time.Millisecond)
		c.Front.PollingTimeout = 1
	})
	started := time.Now()
	took := func(what string, least time.Duration) {
		t.Helper()
		if d := time.Since(started); d < least-tickLength || d > least+servertest.Lateness {
			t.Errorf("%s after %v, want %v", what, d, least)
		}
	}
	fresh, kept, partial := dial(t, s.front), idle(t, s.front, "/ping"), dial(t, s.front)
	stream := s.subscribe("/stream?cname=a&seq=1&noop=3")
	watcher := dial(t, s.admin).get("/psub")
	watcher.head()
	body := dial(t, s.admin)
	body.sendf("POST /push?cname=x HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf")
	// One byte after the other does not renew the deadline.
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 40 {
			if _, err := partial.Write([]byte("G")); err != nil {
				return
			}
			<-tick.C
		}
	}()
	for _, c := range []*client{partial, body} {
		status, text := c.response()
		if c == partial && status == 400 {
			t.Fatalf("the test's request is refused: %s", text)
		}
		if status != 408 || !strings.Contains(text, "request_timeout") {
			t.Errorf("an unfinished request is answered %d %q", status, text)
		}
		took("408", 400*time.Millisecond)
		c.expectEnd()
	}
	fresh.expectEnd()
	took("the end of a fresh connection", 900*time.Millisecond)
	kept.expectEnd()
	took("the end of an idle connection", 900*time.Millisecond)
	for i := range 2 {
		if got, want := stream.chunk(), fmt.Sprintf(`{"type":"noop","cname":"a","seq":%d,"content":""}`+"\n", 3+i); got != want {
			t.Errorf("heartbeat %q, want %q", got, want)
		}
		took("a heartbeat", time.Duration(i+1)*time.Second)
	}
	<-done
	s.call("/push?cname=b&content=x")
	for { // psub has no heartbeat, and is not idle
		if got := watcher.chunk(); got == "1 b\n" {
			break
		} else if !strings.HasPrefix(got, "1 ") && !strings.HasPrefix(got, "0 ") {
			t.Errorf("psub gets %q", got)
		}
	}
	checkFor(t, patience, func() error { // they are counted when the client's side ends too
		requests, idle := s.closedBy(reactor.ReasonRequestTimeout), s.closedBy(reactor.ReasonIdle)
		if requests != 2 || idle != 2 {
			return fmt.Errorf("%d request timeouts, %d idle timeouts", requests, idle)
		}
		return nil
	})
}

// TestDeliveryPutsTheHeartbeatOff: the time counts from the last thing sent.
func TestDeliveryPutsTheHeartbeatOff(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.PollingTimeout = 1 })
	c := s.subscribe("/stream?cname=a&seq=1")
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for i := range 6 {
		<-tick.C
		s.call("/push?cname=a&content=x")
		if got := c.chunk(); !strings.Contains(got, fmt.Sprintf(`"seq":%d,"content":"x"`, i+1)) {
			t.Fatalf("chunk %d is %q", i, got)
		}
	}
	last := time.Now()
	if got := c.chunk(); !strings.Contains(got, `"noop"`) {
		t.Errorf("got %q", got)
	}
	// last is when the test has read it; the server counts from the tick of its sending.
	if d := time.Since(last); d < 700*time.Millisecond || d > time.Second+servertest.Lateness {
		t.Errorf("the heartbeat came %v after the last message", d)
	}
}

// TestHeartbeatsAllDueAtOnce sends 2,000 heartbeats that are due in the same tick: all
// have been silent for longer than the period that a reload sets.
func TestHeartbeatsAllDueAtOnce(t *testing.T) {
	const n = 2000
	s := startServer(t, func(c *config.Config) { c.Front.PollingTimeout = 300 })
	feeds := make([]*servertest.Subscriber, n)
	for i := range feeds {
		f, err := servertest.Subscribe(s.front, []string{"stream", "poll"}[i%2], "a", 1)
		if err == nil && f.Kind == "poll" {
			err = f.Request()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		feeds[i] = f
	}
	s.waitSubscribers("a", n)
	quiet := time.Now()
	<-time.After(1100*time.Millisecond - time.Since(quiet)) // the silence that is tested
	s.reload(func(c *config.Config) { c.Front.PollingTimeout = 1 })
	started := time.Now()
	for _, f := range feeds {
		if f.Kind == "poll" {
			if err := f.ExpectAnswer(`"type":"noop","cname":"a","seq":0`); err != nil {
				t.Fatal(err)
			}
		} else if ms, err := f.Messages(); err != nil || ms[0].Type != "noop" {
			t.Fatalf("%+v, %v", ms, err)
		}
	}
	if d := time.Since(started); d > servertest.Lateness {
		t.Errorf("the last heartbeat came after %v", d)
	}
	checkFor(t, patience, func() error {
		total := uint64(0)
		for _, c := range s.reactor.Counters() {
			total += c.Heartbeats.Load()
		}
		if total < n {
			return errors.New("heartbeats are not counted")
		}
		return nil
	})
}

// TestLingerKeepsTheAnswer sends much input behind a bad request: the answer
// arrives all the same, and the connection ends about five seconds later.
func TestLingerKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	c.sendf("BAD\r\n\r\n%s", strings.Repeat("x", 200<<10))
	started := time.Now()
	if status, _ := c.response(); status != 400 {
		t.Errorf("status %d", status)
	}
	c.sendf("%s", strings.Repeat("y", 1000)) // is discarded, not reset
	c.expectEnd()
	checkFor(t, patience, func() error {
		if s.closedBy(reactor.ReasonBadRequest) != 1 {
			return errors.New("it is not closed")
		}
		return nil
	})
	if d := time.Since(started); d < 4800*time.Millisecond || d > 5*time.Second+servertest.Lateness {
		t.Errorf("it lingered for %v", d)
	}
}
