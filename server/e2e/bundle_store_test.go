package e2e

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/servertest"
)

// ask sends the request of a subscriber whose channels the test's store has to fetch.
func (s *testServer) ask(kind, query string) *client {
	s.t.Helper()
	path, version, fields := kind, "1.1", ""
	switch kind {
	case "stream10":
		path, version = "stream", "1.0"
	case "ws":
		fields = servertest.WebSocketFields
	}
	c := dial(s.t, s.front)
	c.sendf("GET /%s?%s HTTP/%s\r\nHost: test\r\n%s\r\n", path, query, version, fields)
	return c
}

// nextFetches takes as many Fetches as there are names, which are out together.
func (e *storeEngine) nextFetches(t *testing.T, names ...string) map[string]fetchCall {
	t.Helper()
	all := make(map[string]fetchCall)
	var got []string
	for range names {
		f := e.next(t)
		all[f.name] = f
		got = append(got, f.name)
	}
	sort.Strings(got)
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Fatalf("fetches %v, want %v", got, names)
	}
	return all
}

func (s *testServer) bytesOut() (n uint64) {
	for _, c := range s.reactor.Counters() {
		n += c.BytesOut.Load()
	}
	return n
}

// TestManyFetched: the fetches of one request go out together, and the response begins
// when all are there. A refused one is told, one that cannot be had comes later.
func TestManyFetched(t *testing.T) {
	t.Parallel()
	for _, kind := range servertest.AllKinds {
		s, e := startStore(t)
		c := s.ask(kind, "cname=a&seq=2&cname=b&seq=1&cname=no&cname=c&seq=1")
		f := e.nextFetches(t, "a", "b", "c", "no")
		shaken := s.bytesOut() // by the TLS handshake
		e.install("b", 1, 3)
		f["b"].done.Done(channel.Result{})
		e.install("a", 1, 3)
		f["a"].done.Done(channel.Result{})
		f["no"].done.Done(channel.Result{Err: channel.ErrToken})
		s.pauseAll()()
		if n := s.bytesOut() - shaken; n != 0 {
			t.Errorf("%s: %d bytes before the last is there", kind, n)
		}
		e.install("c", 1, 2)
		f["c"].done.Done(channel.Result{})
		text := c.until(`"cname":"c","seq":1,"content":"m1"}`)
		at := 0
		for _, part := range []string{`"cname":"a","seq":2`, `"cname":"b","seq":1`, `"cname":"b","seq":2`, `{"type":"401","cname":"no"`} {
			next := strings.Index(text[at:], part)
			if next < 0 {
				t.Fatalf("%s: no %s behind %d in %s", kind, part, at, text)
			}
			at += next
		}
		checkFor(t, patience, func() error {
			e.mu.Lock()
			defer e.mu.Unlock()
			if len(e.released) != 3 {
				return fmt.Errorf("%s: released %v", kind, e.released)
			}
			return nil
		})
		if kind != "poll" && kind != "sub" {
			e.hub.Feed(e.copies["b"], channel.Message{Seq: 3, Content: "live"})
			c.until(`"cname":"b","seq":3,"content":"live"`)
		}
		c.Close()
		for _, name := range []string{"a", "b", "c"} {
			s.waitSubscribers(name, 0)
		}
	}
}

// TestManyLater: a channel that cannot be had is tried again, while the others are there.
func TestManyLater(t *testing.T) {
	t.Parallel()
	for _, kind := range servertest.AllKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			comesLater(t, kind, false)
			comesLater(t, kind, true)
		})
	}
}

func comesLater(t *testing.T, kind string, large bool) {
	s, e := startStore(t)
	e.install("a", 1, 2)
	c := s.ask(kind, "cname=a&seq=2&cname=b&seq=1")
	e.nextFetches(t, "b")["b"].done.Done(channel.Result{Err: channel.ErrUnavailable})
	s.waitSubscribers("a", 1)
	if kind != "poll" && kind != "sub" {
		e.hub.Feed(e.copies["a"], channel.Message{Seq: 2, Content: "meanwhile"})
		c.until("meanwhile")
	}
	e.next(t).done.Done(channel.Result{Err: channel.ErrOverloaded})
	f := e.next(t)
	if large {
		var ms []channel.Message
		for seq := int64(1); seq < 11; seq++ {
			ms = append(ms, channel.Message{Seq: seq, Content: fmt.Sprint(strings.Repeat("x", 30_000), seq)})
		}
		e.mu.Lock()
		e.copies["b"] = e.hub.Install("b", channel.Copy{Epoch: 7, Next: 11, Messages: ms})
		e.mu.Unlock()
	} else {
		e.install("b", 1, 11)
	}
	f.done.Done(channel.Result{})
	polls := kind == "poll" || kind == "sub"
	for seq := 1; seq < 11 && !(polls && large && seq > 1); seq++ {
		if c.until(fmt.Sprintf(`"cname":"b","seq":%d,`, seq)); !large {
			c.until(fmt.Sprintf("m%d", seq))
		}
	}
	if !polls {
		e.hub.Feed(e.copies["b"], channel.Message{Seq: 11, Content: "live"})
		c.until(`"cname":"b","seq":11,"content":"live"`)
	}
	c.Close()
	s.waitSubscribers("a", 0)
	s.waitSubscribers("b", 0)
}

// TestManyNoneThere: when the store has none of them it is as with one channel.
func TestManyNoneThere(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	for _, kind := range servertest.AllKinds {
		c := s.ask(kind, "cname=a&cname=b")
		for _, f := range e.nextFetches(t, "a", "b") {
			f.done.Done(channel.Result{Err: channel.ErrUnavailable})
		}
		if kind == "sse" {
			c.expectEnd()
		} else {
			c.until("HTTP/1.1 503 ")
		}
		c.Close()
	}
	// The refusal of the last one, when it comes late, ends the response.
	e.install("z", 1, 1)
	for _, kind := range openKinds[:4] {
		c := s.ask(kind, "cname=a&cname=z")
		e.nextFetches(t, "a")["a"].done.Done(channel.Result{Err: channel.ErrUnavailable})
		s.waitSubscribers("z", 1)
		if _, err := s.hub.Close([]byte("z")); err != nil {
			t.Fatal(err)
		}
		e.install("z", 1, 1)
		c.until(`"type":"close"`)
		e.next(t).done.Done(channel.Result{Err: channel.ErrTooManySubscribers})
		if c.until(`{"type":"429","cname":"a"`); kind == "stream10" {
			c.until("\n")
			c.expectEnd()
		} else {
			c.until("0\r\n\r\n")
		}
		c.Close()
	}
	checkFor(t, patience, s.checkIdle)
}

// TestManyLeavesWhileFetched: places are given back, whatever the client does meanwhile.
func TestManyLeavesWhileFetched(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := s.ask("stream", "cname=a&cname=b")
	f := e.nextFetches(t, "a", "b")
	c.Close()
	checkFor(t, patience, func() error {
		if s.frontConns() > 0 {
			return errors.New("it is there")
		}
		return nil
	})
	e.install("a", 1, 1)
	f["a"].done.Done(channel.Result{})
	e.install("b", 1, 1)
	f["b"].done.Done(channel.Result{})
	e.wantReleased(t, "a", "b")

	// A WebSocket that unsubscribes, and subscribes again, and leaves.
	w := s.socket("/ws")
	w.say(`{"type":"subscribe","cname":"c","seq":1}`)
	first := e.next(t)
	w.say(`{"type":"subscribe","cname":"c","seq":1}`)
	w.hear(`"type":"400","cname":"c"`)
	w.say(`{"type":"unsubscribe","cname":"c"}`)
	w.hear(`"type":"unsubscribed","cname":"c"`)
	w.say(`{"type":"subscribe","cname":"c","seq":2}`)
	second := e.next(t)
	e.install("c", 1, 4)
	first.done.Done(channel.Result{})
	w.say(`{"type":"ping"}`)
	w.hear("pong")
	second.done.Done(channel.Result{})
	w.hear(`"type":"position","cname":"c","seq":2`, `"seq":2,"content":"m2"`, `"seq":3,"content":"m3"`)
	e.wantReleased(t, "a", "b", "c", "c")
	s.waitSubscribers("c", 1)
	w.say(`{"type":"subscribe","cname":"d","seq":1}`)
	third := e.next(t)
	w.Close()
	s.waitSubscribers("c", 0)
	e.install("d", 1, 4)
	third.done.Done(channel.Result{})
	e.wantReleased(t, "a", "b", "c", "c", "d")
	checkFor(t, patience, s.checkIdle)
}

// TestManyMoved: a member whose channel moves goes on with the new copy; the others see
// nothing of it.
func TestManyMoved(t *testing.T) {
	t.Parallel()
	for _, told := range []string{"", "&epoch=00000007"} {
		for _, kind := range openKinds {
			s, e := startStore(t)
			e.install("a", 1, 3)
			e.install("b", 1, 1)
			c := s.ask(kind, "cname=a&seq=3"+told+"&cname=b&seq=1"+told)
			s.waitSubscribers("a", 1)
			s.waitSubscribers("b", 1)
			e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 10, Type: channel.Moved})
			f := e.next(t)
			e.hub.Feed(e.copies["b"], channel.Message{Seq: 1, Content: "meanwhile"})
			c.until("meanwhile")
			e.install("a", 10, 12)
			f.done.Done(channel.Result{})
			if told == "" {
				c.until(`"seq":11,"content":"m11"`)
			} else {
				c.until(`"type":"position","cname":"a","seq":10,"content":"","epoch":"00000007","recovered":false,"lost":7,"reason":"trimmed"}`)
				c.until(`"seq":10,"content":"m10"`)
				c.until(`"seq":11,"content":"m11"`)
			}
			// At once, with another life, while messages of the old one are on their way.
			release := s.pauseAll()
			e.hub.Feed(e.copies["a"], channel.Message{Seq: 12, Content: "last"})
			e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 1, Type: channel.Moved})
			e.installAs("a", 8, 1, 2)
			release()
			c.until(`"seq":12,"content":"last"`)
			if told == "" {
				c.until(`"type":"next_seq","cname":"a","seq":1`)
			} else {
				c.until(`"epoch":"00000008","recovered":false,"lost":-1,"reason":"epoch"}`)
			}
			c.until(`"seq":1,"content":"m1"`)
			e.hub.Feed(e.copies["a"], channel.Message{Seq: 2, Content: "live"})
			c.until(`"seq":2,"content":"live"`)
			// The store is away in between: it is tried again.
			e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 5, Type: channel.Moved})
			e.next(t).done.Done(channel.Result{Err: channel.ErrUnavailable})
			e.hub.Feed(e.copies["b"], channel.Message{Seq: 2, Content: "b goes on"})
			c.until("b goes on")
			f = e.next(t)
			e.installAs("a", 8, 5, 7)
			f.done.Done(channel.Result{})
			c.until(`"seq":6,"content":"m6"`)
			c.Close()
			s.waitSubscribers("a", 0)
			s.waitSubscribers("b", 0)
		}
		for _, kind := range []string{"poll", "sub"} {
			s, e := startStore(t)
			e.install("a", 1, 3)
			e.install("b", 1, 1)
			c := s.ask(kind, "cname=a&seq=3"+told+"&cname=b&seq=1"+told)
			s.waitSubscribers("a", 1)
			s.waitSubscribers("b", 1)
			release := s.pauseAll()
			e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 10, Type: channel.Moved})
			e.install("a", 10, 12)
			release()
			_, body := c.response()
			want := `"type":"next_seq","cname":"a","seq":10`
			if told != "" {
				want = `"type":"position","cname":"a","seq":10`
			}
			if !strings.Contains(body, want) || strings.Count(body, `"content":"m10"`) > 1 {
				t.Errorf("%s%s: %s", kind, told, body)
			}
			s.waitSubscribers("a", 0)
			s.waitSubscribers("b", 0)
		}
	}
}
