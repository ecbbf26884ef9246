package reactor

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"icomet/server/servertest"
)

// startForgiving runs a reactor that recovers panics, as the product does.
func startForgiving(t *testing.T, edit func(*Settings), h Handler) *testReactor {
	t.Helper()
	return startWith(t, 1, edit, h, false)
}

// brokenConn panics in the middle of a write.
type brokenConn struct{ gnet.Conn }

func (brokenConn) OutboundBuffered() int       { panic("injected in a write") }
func (b brokenConn) EventLoop() gnet.EventLoop { return closer{b.Conn.EventLoop(), b.Conn} }
func (b brokenConn) breaks(c *Conn)            { c.gc = b; c.set(flagQueued) }

// closer closes the connection itself, not what is around it.
type closer struct {
	gnet.EventLoop
	inner gnet.Conn
}

func (c closer) Close(gnet.Conn) error { return c.EventLoop.Close(c.inner) }

func (s *testReactor) waitPanics(n uint64) {
	s.t.Helper()
	s.checkFor(func() error {
		if got := s.Panics(); got != n {
			return fmt.Errorf("%d panics are counted, want %d", got, n)
		}
		if got := s.closedBy(ReasonPanic); got != n {
			return fmt.Errorf("%d connections were closed for a panic, want %d", got, n)
		}
		return nil
	})
}

// TestPanicInAHandler costs the connection whose request it was, with what it had
// pipelined, and no other.
func TestPanicInAHandler(t *testing.T) {
	t.Parallel()
	h := subscribers()
	h["/panic"] = func(c *Conn, _ *Request) {
		c.Out().B = append(c.Out().B, "half an ans"...)
		panic("injected in a handler")
	}
	s := startForgiving(t, nil, h)
	other := s.subscribe("/stream?cname=a&seq=1")
	for i := range 3 {
		c := dial(t, s.front)
		c.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\nGET /ping HTTP/1.1\r\nHost: t\r\n\r\n")
		c.expectEnd()
		s.publish("a", "x")
		if got := other.chunk(); !strings.Contains(got, fmt.Sprintf(`"seq":%d,"content":"x"`, i+1)) {
			t.Errorf("another subscriber gets %q", got)
		}
	}
	s.waitPanics(3)
	if log := s.log.String(); !strings.Contains(log, "injected in a handler") || !strings.Contains(log, "panic_test.go") {
		t.Errorf("the log lacks the panic or its stack:\n%s", log)
	}
	_ = other.Close()
	s.checkFor(s.checkIdle)
}

// TestPanicInAWalk breaks the records of two subscribers, so that a delivery to
// them panics: they are closed, everybody else gets this message and the next.
func TestPanicInAWalk(t *testing.T) {
	t.Parallel()
	s := startForgiving(t, nil, subscribers())
	var feeds []*servertest.Subscriber
	for range 9 {
		f, err := servertest.Subscribe(s.front, "stream", "a", 1)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		feeds = append(feeds, f)
	}
	s.waitSubscribers("a", len(feeds))
	s.onAllLoops(func(l *loop) {
		for i, c := range l.conns() {
			if i == 2 || i == 6 {
				brokenConn{c.gc}.breaks(c)
			}
		}
	})
	s.publish("a", "m1")
	s.waitPanics(2)
	s.publish("a", "m2")
	whole := 0
	for _, f := range feeds {
		if ms, err := f.Messages(); err == nil {
			whole++
			if ms[0].Content != "m1" {
				t.Errorf("got %+v", ms)
			}
			readSeq(t, f, 2, "m2")
		}
	}
	if whole != len(feeds)-2 {
		t.Errorf("%d subscribers are whole, want %d", whole, len(feeds)-2)
	}
	for _, f := range feeds {
		_ = f.Close()
	}
	s.checkFor(s.checkIdle)
}

// TestPanicInATick does not make the ticking goroutine run hot, nor end it.
func TestPanicInATick(t *testing.T) {
	t.Parallel()
	log := new(servertest.Output)
	h := &callbacks{reactor: &Reactor{log: slog.New(slog.NewTextHandler(log, nil)), ready: make(chan struct{})}}
	close(h.reactor.ready)
	delay, _ := h.OnTick() // without a hub
	if delay != tickLength {
		t.Errorf("the next tick is in %v", delay)
	}
	if h.reactor.panics.Load() != 1 || !strings.Contains(log.String(), "panic recovered") {
		t.Errorf("%d panics; %s", h.reactor.panics.Load(), log)
	}
}

// TestPanicInAHeartbeat breaks one of two subscribers whose heartbeats are due.
func TestPanicInAHeartbeat(t *testing.T) {
	t.Parallel()
	s := startForgiving(t, func(set *Settings) { set.PollingTimeout = time.Second }, subscribers())
	broken, whole := s.subscribe("/stream?cname=a&seq=1"), s.subscribe("/stream?cname=b&seq=1")
	s.onAllLoops(func(l *loop) {
		for _, c := range l.conns() {
			if c.ch.Name() == "a" {
				brokenConn{c.gc}.breaks(c)
			}
		}
	})
	broken.expectEnd()
	for i := range 2 {
		if got := whole.chunk(); !strings.Contains(got, fmt.Sprintf(`"type":"noop","cname":"b","seq":%d`, i)) {
			t.Errorf("the other one gets %q", got)
		}
	}
	s.waitPanics(1)
}
