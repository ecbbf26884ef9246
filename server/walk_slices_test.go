package server

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is more subscribers than a slice of a walk serves.
const crowd = 2*sliceWrites + 200

func gather(t *testing.T, s *testServer, cname string, n int) []*feed {
	t.Helper()
	feeds := make([]*feed, n)
	for i := range feeds {
		f, err := openFeed(s.front, feedKinds[i%len(feedKinds)], cname, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		feeds[i] = f
		if f.kind == "poll" || f.kind == "sub" {
			if err := f.request(); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkFor(t, patience, func() error {
		if got := s.hub.ChannelSubscribers([]byte(cname)); got != n {
			return fmt.Errorf("%d subscribers", got)
		}
		return nil
	})
	return feeds
}

// onEachRun calls look at the beginning of the loop's runs until it returns true.
func onEachRun(l *loop, look func() bool) (done chan struct{}) {
	done = make(chan struct{})
	var again func()
	again = func() {
		if look() {
			close(done)
		} else {
			l.post(again)
		}
	}
	l.post(again)
	return done
}

// batchOf finds the batch of a channel that is being walked.
func batchOf(l *loop, cname string) *batch {
	for ch, b := range l.working {
		if ch != nil && ch.Name() == cname && b.started && b.cursor != nil {
			return b
		}
	}
	return nil
}

// TestHugeChannelHoldsUpNobody publishes to a huge channel and then to a small one:
// the small one's subscriber has its message while the huge one is at work.
func TestHugeChannelHoldsUpNobody(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Runtime.EventLoops = 1 })
	feeds := gather(t, s, "huge", crowd)
	small := s.subscribe("/stream?cname=small&seq=1")
	l := s.reactor.loops[0]
	release := pause(l)
	for _, name := range []string{"huge", "small"} {
		if _, err := s.hub.Publish([]byte(name), "m"); err != nil {
			t.Fatal(err)
		}
	}
	slices, served := 0, false
	done := onEachRun(l, func() bool {
		if batchOf(l, "huge") == nil {
			return slices > 0
		}
		slices++
		for _, c := range l.conns() {
			served = served || c.ch.Name() == "small" && c.next == 2
		}
		return false
	})
	release()
	<-done
	if slices != crowd/sliceWrites {
		t.Errorf("the walk was interrupted %d times, want %d", slices, crowd/sliceWrites)
	}
	if !served {
		t.Error("the small channel waited for the huge one")
	}
	small.chunk()
	for _, f := range feeds {
		f.readSeq(t, 1, "m")
	}
}

// conns lists the subscribers of a loop, on the loop.
func (l *loop) conns() (cs []*conn) {
	for i := range l.subs.tables {
		for _, first := range l.subs.tables[i].buckets {
			for ; first != nil; first = first.hashNext {
				for c := first; c != nil; c = c.subNext {
					cs = append(cs, c)
				}
			}
		}
	}
	return cs
}

// readSeq reads one message, of a poll without asking first.
func (f *feed) readSeq(t *testing.T, seq int64, content string) {
	t.Helper()
	if f.kind == "poll" || f.kind == "sub" {
		f.answered(t, fmt.Sprintf(`"seq":%d,"content":"%s"}`, seq, content))
		return
	}
	ms, err := f.read()
	if err != nil || ms[0].Seq != seq || ms[0].Content != content {
		t.Fatalf("%s gets %+v, %v; want seq %d %q", f.kind, ms, err, seq, content)
	}
}

// answered reads the answer of a poll that waits, which has all of parts.
func (f *feed) answered(t *testing.T, parts ...string) {
	t.Helper()
	c := client{Conn: f.Conn, t: t}
	_, body := c.response()
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Fatalf("%s gets %q, want %q in it", f.kind, body, part)
		}
	}
}

// TestWalkLetsInputIn sends a request while a long walk is going on: it is answered
// before the walk ends. A walk that scheduled itself at once would let none in.
func TestWalkLetsInputIn(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Runtime.EventLoops = 1 })
	feeds := gather(t, s, "huge", 3*sliceWrites)
	l := s.reactor.loops[0]
	p, err := openPublisher(s.front)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// A test that is not scheduled for as long as a walk takes sees nothing: some rounds.
	for round := int64(1); ; round++ {
		if err := p.calls("/ping"); err != nil {
			t.Fatal(err)
		}
		release := pause(l)
		requests, deliveries := l.stats.requests.Load(), l.stats.deliveries.Load()
		fmt.Fprintf(p, "GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
		if _, err := s.hub.Publish([]byte("huge"), "m"); err != nil {
			t.Fatal(err)
		}
		release()
		for l.stats.requests.Load() == requests {
			runtime.Gosched()
		}
		served := l.stats.deliveries.Load() - deliveries
		for _, f := range feeds {
			f.readSeq(t, round, "m")
			if f.kind == "poll" || f.kind == "sub" {
				f.next = round + 1
				_ = f.request()
			}
		}
		client{Conn: p.Conn, t: t}.skip()
		if served > 0 && served < uint64(len(feeds)) {
			return
		}
		if round == 5 {
			t.Fatalf("the request was taken after %d deliveries of %d", served, len(feeds))
		}
		checkFor(t, patience, func() error {
			if n := s.hub.Subscribers(); n != len(feeds) {
				return fmt.Errorf("%d subscribers are back", n)
			}
			return nil
		})
	}
}

// skip reads one answer.
func (c client) skip() { (&c).response() }

// TestListChangesDuringAWalk stops a walk half-way while subscribers leave, others
// come, more is published, and the channel is closed.
func TestListChangesDuringAWalk(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Runtime.EventLoops = 1 })
	feeds := gather(t, s, "huge", crowd)
	l := s.reactor.loops[0]
	publish := func(content string) {
		if _, err := s.hub.Publish([]byte("huge"), content); err != nil {
			t.Fatal(err)
		}
	}
	release := pause(l)
	publish("m1")
	publish("m2")
	reached, gate := make(chan struct{}), make(chan struct{})
	var ended []*conn
	onEachRun(l, func() bool {
		b := batchOf(l, "huge")
		if b == nil {
			return false
		}
		close(reached)
		<-gate
		// Those around the place where this slice will end leave on the server's side.
		c := b.cursor
		for range sliceWrites - 2 {
			c = c.subNext
		}
		for ; len(ended) < 5; c = c.subNext {
			ended = append(ended, c)
			l.doom(c, reasonInternal)
		}
		return true
	})
	release()
	<-reached
	// Half-way: the last third leaves, in the way clients leave, in both parts of the list.
	gone := make(map[int]bool)
	for i := 0; i < crowd; i += 3 {
		gone[i] = true
		_ = feeds[i].Close()
	}
	late := s.comeLate(t, 60) // more than in the backlog of one round
	publish("m3")
	publish("m4")
	if _, err := s.hub.Close([]byte("huge")); err != nil {
		t.Fatal(err)
	}
	close(gate)
	broken := 0
	for i, f := range feeds {
		if !gone[i] && !f.seesTheClose(t) {
			broken++
		}
		_ = f.Close()
	}
	if broken > len(ended) {
		t.Errorf("%d subscribers were cut, want the %d at most", broken, len(ended))
	}
	checkFor(t, patience, func() error {
		if n := s.hub.ChannelSubscribers([]byte("huge")); n != 60 {
			return fmt.Errorf("%d late subscribers", n)
		}
		return nil
	})
	publish("new")
	late.Wait()
	checkFor(t, patience, s.checkIdle)
}

// comeLate lets n subscribers come to the channel as it is after its close.
func (s *testServer) comeLate(t *testing.T, n int) *sync.WaitGroup {
	late := new(sync.WaitGroup)
	for range n {
		late.Go(func() {
			f, err := openFeed(s.front, "stream", "huge", 1)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if err := f.follow("new", func(wireMessage) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	return late
}

// seesTheClose reads m1 to m4 and the close, each kind in its way, up to the clean
// end; it reports whether the connection was cut before.
func (f *feed) seesTheClose(t *testing.T) bool {
	t.Helper()
	if f.kind == "poll" || f.kind == "sub" {
		line, err := f.R.Peek(1)
		if err != nil {
			return false
		}
		if line[0] == 'H' {
			f.answered(t, `"seq":1,"content":"m1"}`, `"seq":2,"content":"m2"}`)
		}
		return true
	}
	want := []wireMessage{
		{"data", "huge", 1, "m1"}, {"data", "huge", 2, "m2"}, {"data", "huge", 3, "m3"},
		{"data", "huge", 4, "m4"}, {"close", "huge", 5, ""},
	}
	for _, w := range want {
		ms, err := f.read()
		if err != nil {
			return false
		}
		if ms[0] != w {
			t.Fatalf("%s gets %+v, want %+v", f.kind, ms[0], w)
		}
	}
	_ = f.SetReadDeadline(time.Now().Add(patience))
	if _, err := f.read(); !errors.Is(err, io.EOF) {
		t.Errorf("%s: after the close: %v", f.kind, err)
	}
	return true
}
