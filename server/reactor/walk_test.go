package reactor

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"icomet/server/servertest"
)

// crowd is more subscribers than a slice of a walk serves.
const crowd = 2*sliceWrites + 200

func gather(t *testing.T, s *testReactor, cname string, n int) []*servertest.Subscriber {
	t.Helper()
	feeds := make([]*servertest.Subscriber, n)
	for i := range feeds {
		f, err := servertest.Subscribe(s.front, servertest.SubscriberKinds[i%len(servertest.SubscriberKinds)], cname, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		feeds[i] = f
		if f.Kind == "poll" || f.Kind == "sub" {
			if err := f.Request(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.checkFor(func() error {
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
	t.Parallel()
	s := start(t, 1, nil)
	feeds := gather(t, s, "huge", crowd)
	small := s.subscribe("/stream?cname=small&seq=1")
	l := s.loops[0]
	release := pause(l)
	for _, name := range []string{"huge", "small"} {
		s.publish(name, "m")
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
		readSeq(t, f, 1, "m")
	}
}

func readSeq(t *testing.T, f *servertest.Subscriber, seq int64, content string) {
	t.Helper()
	if err := f.Expect(seq, content); err != nil {
		t.Fatal(err)
	}
}

// TestWalkLetsInputIn sends a request while a long walk is going on: it is answered
// before the walk ends. A walk that scheduled itself at once would let none in.
func TestWalkLetsInputIn(t *testing.T) {
	t.Parallel()
	h := subscribers()
	during := make(chan bool, 1)
	h["/walking"] = func(c *Conn, r *Request) {
		during <- batchOf(c.loop, "huge") != nil
		h["/ping"](c, r)
	}
	s := startWith(t, 1, nil, h, true)
	feeds := gather(t, s, "huge", 5*sliceWrites) // onEachRun brings runs of its own
	l := s.loops[0]
	p := dial(t, s.front).get("/ping")
	p.wantAnswer(200, "ping\n")
	release := pause(l)
	s.publish("huge", "m")
	onEachRun(l, func() bool {
		if batchOf(l, "huge") == nil {
			return false
		}
		p.get("/walking") // on the loop, so that the walk has not gone on
		return true
	})
	release()
	p.wantAnswer(200, "ping\n")
	if !<-during {
		t.Error("the request was taken when the walk had ended")
	}
	for _, f := range feeds {
		readSeq(t, f, 1, "m")
	}
}

// TestListChangesDuringAWalk stops a walk half-way while subscribers leave, others
// come, more is published, and the channel is closed.
func TestListChangesDuringAWalk(t *testing.T) {
	t.Parallel()
	s := start(t, 1, nil)
	feeds := gather(t, s, "huge", crowd)
	l := s.loops[0]
	publish := func(content string) { s.publish("huge", content) }
	release := pause(l)
	publish("m1")
	publish("m2")
	reached, gate := make(chan struct{}), make(chan struct{})
	var ended []*Conn
	onEachRun(l, func() bool {
		b := batchOf(l, "huge")
		if b == nil {
			return false
		}
		close(reached)
		<-gate
		// Those around the place where this slice will end leave on the server's side.
		sub := b.cursor
		for range sliceWrites - 2 {
			sub = sub.subNext
		}
		for ; len(ended) < 5; sub = sub.subNext {
			ended = append(ended, sub.conn)
			l.doom(sub.conn, ReasonInternal)
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
		if !gone[i] && !seesTheClose(t, f) {
			broken++
		}
		_ = f.Close()
	}
	if broken > len(ended) {
		t.Errorf("%d subscribers were cut, want the %d at most", broken, len(ended))
	}
	s.checkFor(func() error {
		if n := s.hub.ChannelSubscribers([]byte("huge")); n != 60 {
			return fmt.Errorf("%d late subscribers", n)
		}
		return nil
	})
	publish("new")
	late.Wait()
	s.checkFor(s.checkIdle)
}

// comeLate lets n subscribers come to the channel as it is after its close.
func (s *testReactor) comeLate(t *testing.T, n int) *sync.WaitGroup {
	late := new(sync.WaitGroup)
	for range n {
		late.Go(func() {
			f, err := servertest.Subscribe(s.front, "stream", "huge", 1)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if err := f.Follow("new", func(servertest.Message) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	return late
}

// seesTheClose reads m1 to m4 and the close, each kind in its way, up to the clean
// end; it reports whether the connection was cut before.
func seesTheClose(t *testing.T, f *servertest.Subscriber) bool {
	t.Helper()
	if f.Kind == "poll" || f.Kind == "sub" {
		line, err := f.R.Peek(1)
		if err != nil {
			return false
		}
		if line[0] == 'H' {
			if err := f.ExpectAnswer(`"seq":1,"content":"m1"}`, `"seq":2,"content":"m2"}`); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	want := []servertest.Message{
		{Type: "data", Cname: "huge", Seq: 1, Content: "m1"}, {Type: "data", Cname: "huge", Seq: 2, Content: "m2"}, {Type: "data", Cname: "huge", Seq: 3, Content: "m3"},
		{Type: "data", Cname: "huge", Seq: 4, Content: "m4"}, {Type: "close", Cname: "huge", Seq: 5, Content: ""},
	}
	for _, w := range want {
		ms, err := f.Messages()
		if err != nil {
			return false
		}
		if ms[0] != w {
			t.Fatalf("%s gets %+v, want %+v", f.Kind, ms[0], w)
		}
	}
	_ = f.SetReadDeadline(time.Now().Add(patience))
	if _, err := f.Messages(); !errors.Is(err, io.EOF) {
		t.Errorf("%s: after the close: %v", f.Kind, err)
	}
	return true
}
