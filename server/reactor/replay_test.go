package reactor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server/servertest"
)

// fill publishes n messages of that size, and returns the content of each.
func (s *testReactor) fill(cname string, n, size int) func(seq int64) string {
	s.t.Helper()
	text := strings.Repeat("z", size)
	content := func(seq int64) string { return fmt.Sprint(seq, "-", text) }
	for seq := 1; seq <= n; seq++ {
		s.publish(cname, content(int64(seq)))
	}
	return content
}

// heldBy is what gnet holds for the subscribers of a channel: the sum and the most.
func (s *testReactor) heldBy(cname string) (sum, most int) {
	s.onAllLoops(func(l *loop) {
		for _, c := range l.conns() {
			if c.ch.Name() == cname {
				n := c.gc.OutboundBuffered()
				sum, most = sum+n, max(most, n)
			}
		}
	})
	return sum, most
}

// TestUnreadBacklogIsBounded: readers that take nothing of a long backlog hold a piece
// each; the newcomers beside them are served, and one that reads gets all of it.
func TestUnreadBacklogIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10 << 10, 300 << 10} { // many messages a piece; a message is more than one
		for _, kind := range servertest.SubscriberKinds {
			s := start(t, 2, func(set *Settings) { set.SendBuffer = 4096 })
			content := s.fill("a", 10, size)
			const silent = 20
			for range silent {
				c := dialNarrow(t, s.front)
				c.get(fmt.Sprintf("/%s?cname=a&seq=1", strings.TrimSuffix(kind, "10")))
			}
			s.checkFor(func() error {
				if _, most := s.heldBy("a"); most == 0 {
					return errors.New("nothing is on its way")
				}
				return nil
			})
			dial(t, s.front).get("/ping").wantAnswer(200, "ping\n")
			sum, most := s.heldBy("a")
			if limit := max(replayPiece, size+1000); most > limit || sum > silent*limit {
				t.Errorf("%s, %d bytes: %d bytes are held for one, %d for all", kind, size, most, sum)
			}
			f, err := servertest.Subscribe(s.front, kind, "a", 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Follow(content(10), func(m servertest.Message) error {
				if m.Content != content(m.Seq) {
					return fmt.Errorf("seq %d has %.20s", m.Seq, m.Content)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			_ = f.Close()
			s.stop()
		}
	}
}

// TestLongPollAnswer is valid JSON in its callback, in chunks or up to the end of the
// connection, and the connection goes on behind it.
func TestLongPollAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, 2, nil)
	s.fill("a", 10, 100<<10)
	for _, version := range []string{"1.1", "1.0"} {
		c := dial(t, s.front)
		c.send("GET /sub?cname=a&seq=3 HTTP/" + version + "\r\nHost: test\r\n\r\nGET /ping HTTP/" + version + "\r\nHost: test\r\n\r\n")
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		var ms []servertest.Message
		if err == nil {
			err = json.Unmarshal(body, &ms)
		}
		if err != nil || len(ms) != 8 || ms[0].Seq != 3 || ms[7].Seq != 10 {
			t.Errorf("HTTP/%s: %d messages, %v", version, len(ms), err)
		}
		if version == "1.1" {
			c.wantAnswer(200, "ping\n")
		} else {
			c.expectEnd()
		}
	}
	s.checkFor(func() error {
		if n := s.hub.ChannelSubscribers([]byte("a")); n != 0 {
			return fmt.Errorf("%d subscribers are left", n)
		}
		return nil
	})
}

// TestBacklogThenLive: while the backlog goes out, more is published, faster or slower
// than it is read. Each reader has every message once and in order, or is cut, and gets
// what is stored when it comes back; never a gap on one connection.
func TestBacklogThenLive(t *testing.T) {
	t.Parallel()
	const first, more = 30, 150
	s := start(t, 2, func(set *Settings) { narrow(set) })
	limits := s.hub.Limits()
	limits.BufferSize = 60
	s.hub.SetLimits(limits)
	content := s.fill("a", first, 20<<10)
	var readers, publishers sync.WaitGroup
	for i := range 24 {
		readers.Go(func() {
			if err := readAll(s.front, servertest.SubscriberKinds[i%6], content(first+more), time.Duration(i%4)*time.Millisecond); err != nil {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	publishers.Go(func() {
		pace := time.NewTicker(3 * time.Millisecond)
		defer pace.Stop()
		for seq := first + 1; seq <= first+more; seq++ {
			s.publish("a", content(int64(seq)))
			<-pace.C
		}
	})
	publishers.Wait()
	readers.Wait()
	s.checkFor(s.checkIdle)
}

// readAll follows up to the message last, and comes back when it is cut; after that it may
// find that the oldest have gone.
func readAll(addr, kind, last string, pause time.Duration) error {
	next, done := int64(1), false
	for returns := 0; !done; returns++ {
		if returns > 1000 {
			return errors.New("it never gets to the end")
		}
		c, err := servertest.DialNarrow(addr, 16<<10)
		if err != nil {
			return err
		}
		f, err := servertest.SubscribeOn(c, kind, "a", next)
		if err != nil {
			return err
		}
		fresh := true
		for !done {
			ms, err := f.Messages()
			if err != nil {
				break
			}
			for _, m := range ms {
				if m.Type == "noop" {
					continue
				}
				if m.Seq != f.Next && (!fresh || m.Seq < f.Next) {
					return fmt.Errorf("%s expects %d, gets %d", kind, f.Next, m.Seq)
				}
				f.Next, fresh = m.Seq+1, false
				done = done || m.Content == last
			}
			// A poll asks anew: what has gone between two of them is not its fault.
			fresh = fresh || kind == "poll" || kind == "sub"
			if pause > 0 {
				time.Sleep(time.Duration(rand.Int64N(int64(2 * pause))))
			}
		}
		next = f.Next
		_ = f.Close()
	}
	return nil
}

// TestCloseDuringABacklog: who was promised the backlog gets it, then the close.
func TestCloseDuringABacklog(t *testing.T) {
	t.Parallel()
	s := start(t, 2, narrow)
	s.fill("a", 10, 100<<10)
	feeds := s.halfway(t, "a", len(servertest.SubscriberKinds))
	if _, err := s.hub.Close([]byte("a")); err != nil {
		t.Fatal(err)
	}
	s.publish("a", "another life")
	for _, f := range feeds {
		seq := int64(0)
		for seq < 10 {
			ms, err := f.next()
			if err != nil {
				t.Fatalf("%s after %d: %v", f.Kind, seq, err)
			}
			for _, m := range ms {
				if seq++; m.Seq != seq || m.Type != "data" {
					t.Fatalf("%s: %s %d, want %d", f.Kind, m.Type, m.Seq, seq)
				}
			}
		}
		if f.polls() {
			continue
		}
		if ms, err := f.Messages(); err != nil || ms[0].Type != "close" || ms[0].Seq != 11 {
			t.Errorf("%s: %+v, %v", f.Kind, ms, err)
		}
		if _, err := f.Messages(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the close: %v", f.Kind, err)
		}
	}
	s.checkFor(func() error { return s.noReads() })
}

// halfReader is a subscriber whose backlog is on its way.
type halfReader struct{ *servertest.Subscriber }

func (f halfReader) polls() bool { return f.Kind == "poll" || f.Kind == "sub" }

// next reads on; a poll has asked already.
func (f halfReader) next() ([]servertest.Message, error) {
	if !f.polls() {
		return f.Messages()
	}
	text, err := f.PollAnswer()
	if err != nil {
		return nil, err
	}
	return f.ParsePoll(text)
}

// halfway lets n subscribers, of all kinds in turn, ask for the backlog of a channel, and
// waits until a part of it is on its way to each.
func (s *testReactor) halfway(t *testing.T, cname string, n int) (feeds []halfReader) {
	t.Helper()
	for i := range n {
		c, err := servertest.DialNarrow(s.front, 4096)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		f, err := servertest.SubscribeOn(c, servertest.SubscriberKinds[i%len(servertest.SubscriberKinds)], cname, 1)
		if err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, halfReader{f})
		if feeds[i].polls() {
			if err := f.Request(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.checkFor(func() error {
		begun := 0
		s.onAllLoops(func(l *loop) {
			for _, p := range l.replays {
				if p.begun && p.conn.outbound() > 0 {
					begun++
				}
			}
		})
		if begun != n {
			return fmt.Errorf("%d backlogs are on their way, want %d", begun, n)
		}
		return nil
	})
	return feeds
}

// noReads: nothing is left of backlogs.
func (s *testReactor) noReads() error {
	left := 0
	s.onAllLoops(func(l *loop) { left += len(l.replays) })
	if left > 0 {
		return fmt.Errorf("%d backlogs are on their way", left)
	}
	return nil
}

// TestBacklogIsLost: what has left the buffer before it was read cannot be given. The
// connection is cut, so that the client comes back and learns where it stands.
func TestBacklogIsLost(t *testing.T) {
	t.Parallel()
	s := start(t, 2, narrow)
	content := s.fill("a", 10, 100<<10)
	feeds := s.halfway(t, "a", len(servertest.SubscriberKinds))
	for seq := int64(11); seq <= 40; seq++ {
		s.publish("a", content(seq))
	}
	for _, f := range feeds {
		for {
			if _, err := f.next(); err != nil {
				break
			}
		}
	}
	s.checkFor(func() error {
		if n := s.closedBy(ReasonSlowConsumer); n != uint64(len(feeds)) {
			return fmt.Errorf("%d are counted as slow", n)
		}
		return s.checkIdle()
	})
}

// TestLeavingDuringABacklog resets the connections half-way.
func TestLeavingDuringABacklog(t *testing.T) {
	t.Parallel()
	s := start(t, 2, narrow)
	s.fill("a", 10, 100<<10)
	for _, f := range s.halfway(t, "a", 12) {
		_ = f.SetLinger(0)
		_ = f.Close()
	}
	s.checkFor(s.checkIdle)
	s.checkFor(s.noReads)
}

// TestMoveDuringABacklog: the numbering goes on elsewhere while a backlog is on its way. A
// stream is told so and goes on from there; a poll, whose answer cannot be ended, is cut.
func TestMoveDuringABacklog(t *testing.T) {
	t.Parallel()
	s := start(t, 2, func(set *Settings) { narrow(set); set.OutboundBuffer = 1 << 20 })
	content := s.fill("a", 10, 100<<10)
	feeds := s.halfway(t, "a", len(servertest.SubscriberKinds))
	s.onAllLoops(func(l *loop) {
		if cs := l.conns(); len(cs) > 0 && l.Push(cs[0].ch, channel.Message{Seq: 8, Type: channel.Moved}) {
			l.Wake()
		}
	})
	for _, f := range feeds {
		moved, last := false, int64(0)
		for last < 10 {
			ms, err := f.next()
			if err != nil {
				if !f.polls() {
					t.Errorf("%s after %d: %v", f.Kind, last, err)
				}
				break
			}
			for _, m := range ms {
				if m.Type == "next_seq" {
					if moved, last = true, 7; m.Seq != 8 {
						t.Errorf("%s is told %d", f.Kind, m.Seq)
					}
					continue
				}
				if last++; m.Seq != last || m.Content != content(last) {
					t.Fatalf("%s gets %d, want %d", f.Kind, m.Seq, last)
				}
			}
		}
		if moved == f.polls() {
			t.Errorf("%s: told of the move %v", f.Kind, moved)
		}
	}
	s.checkFor(s.noReads)
}
