package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server"
	"icomet/server/config"
	"icomet/server/reactor"
)

// storeEngine stands for an engine of several nodes: its hub follows, and a Fetch is
// answered when the test says so.
type storeEngine struct {
	channel.Engine // for what the tests do not use
	hub            *channel.Hub
	fetches        chan fetchCall
	watches        chan channel.Done

	mu       sync.Mutex
	released []string
	copies   map[string]*channel.Channel
}

type fetchCall struct {
	name, token string
	done        channel.Done
}

func (e *storeEngine) Fetch(j *channel.Join, done channel.Done) {
	e.fetches <- fetchCall{string(j.Name), string(j.Token), done}
}

func (e *storeEngine) Release(name []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.released = append(e.released, string(name))
}

func (e *storeEngine) Watch(done channel.Done) { e.watches <- done }
func (e *storeEngine) Stop()                   {}
func (e *storeEngine) Status() any             { return nil }

// install gives the hub a copy with messages from..next-1.
func (e *storeEngine) install(name string, from, next int64) { e.installAs(name, 7, from, next) }

func (e *storeEngine) installAs(name string, epoch uint32, from, next int64) {
	var ms []channel.Message
	for seq := from; seq < next; seq++ {
		ms = append(ms, channel.Message{Seq: seq, Content: fmt.Sprint("m", seq)})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.copies[name] = e.hub.Install(name, channel.Copy{Epoch: epoch, Next: next, Messages: ms})
}

// next takes the next Fetch.
func (e *storeEngine) next(t *testing.T) fetchCall {
	t.Helper()
	select {
	case f := <-e.fetches:
		return f
	case <-time.After(patience):
		t.Fatal("nothing is fetched")
		return fetchCall{}
	}
}

func (e *storeEngine) nextWatch(t *testing.T) channel.Done {
	t.Helper()
	select {
	case done := <-e.watches:
		return done
	case <-time.After(patience):
		t.Fatal("presence is not watched")
		return nil
	}
}

func (e *storeEngine) wantReleased(t *testing.T, want ...string) {
	t.Helper()
	checkFor(t, patience, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if fmt.Sprint(e.released) != fmt.Sprint(want) {
			return fmt.Errorf("released %v, want %v", e.released, want)
		}
		return nil
	})
}

func startStore(t *testing.T) (*testServer, *storeEngine) {
	t.Helper()
	return startStoreWith(t)
}

// startStoreWith is startStore with settings: "front.auth=token".
func startStoreWith(t *testing.T, pairs ...string) (*testServer, *storeEngine) {
	t.Helper()
	e := &storeEngine{
		fetches: make(chan fetchCall, 100), watches: make(chan channel.Done, 100),
		copies: make(map[string]*channel.Channel),
	}
	set := withSettings(t, pairs...)
	s := startServerAs(t, func(cfg *config.Config) { set(cfg); cfg.Runtime.EventLoops = 1 }, func(o *server.Options) {
		o.Engine = func(h *channel.Hub) (channel.Engine, error) {
			h.Follow()
			e.hub = h
			return e, nil
		}
	}, nil)
	return s, e
}

// TestParkedJoin: the first subscriber of a channel waits for its history, whatever
// the transport and however its request comes; the next one does not.
func TestParkedJoin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, request, want string }{
		{"stream", "GET /stream?cname=a&seq=3 HTTP/1.1\r\nHost: t\r\n\r\n", `"seq":3,"content":"m3"`},
		{"sse", "GET /sse?cname=a HTTP/1.1\r\nHost: t\r\nLast-Event-ID: 2\r\n\r\n", `"seq":3,"content":"m3"`},
		{"poll", "GET /poll?cname=a&seq=3&cb=f HTTP/1.1\r\nHost: t\r\n\r\n", `f([{"type":"data","cname":"a","seq":3,`},
		{"close", "GET /poll?cname=a&seq=3 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "Connection: close"},
		{"body", "GET /sub?cname=a&seq=3 HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab|cde", `[{"type":"data"`},
		{"chunked", "GET /sub?cname=a&seq=3 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n|0\r\n\r\n", `[{"type":"data"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e := startStore(t)
			c := dial(t, s.front)
			for i, part := range strings.Split(tc.request, "|") {
				if i > 0 {
					s.waitRead()
				}
				c.sendf("%s", part)
			}
			f := e.next(t)
			e.install("a", 2, 5)
			f.done.Done(channel.Result{})
			text := c.until(tc.want)
			if n := strings.Count(text, "HTTP/1.1 "); n != 1 {
				t.Errorf("%d answers: %s", n, text)
			}
			e.wantReleased(t, "a")
			if n := s.Stats().Requests; n != 1 {
				t.Errorf("%d requests are counted", n)
			}
			s.subscribe("/stream?cname=a&seq=5") // at once: nothing is fetched
		})
	}
}

// waitRead waits until the server has read what came before.
func (s *testServer) waitRead() {
	s.t.Helper()
	s.waitBytes(1)
}

// waitBytes waits until the server has read n bytes.
func (s *testServer) waitBytes(n uint64) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		if got := s.Stats().BytesIn; got < n {
			return fmt.Errorf("%d bytes are read, not %d", got, n)
		}
		return nil
	})
}

// until reads until text has come, and returns everything.
func (c *client) until(text string) string {
	c.t.Helper()
	var b []byte
	for !bytes.HasSuffix(b, []byte(text)) {
		one, err := c.R.ReadByte()
		if err != nil {
			c.t.Fatalf("%v before %q, after %q", err, text, b[max(0, len(b)-1000):])
		}
		b = append(b, one)
	}
	return string(b)
}

// TestParkedJoinKeepsOrder: what is pipelined behind a parked request waits for it.
func TestParkedJoinKeepsOrder(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := dial(t, s.front)
	c.sendf("%s", pipelined("/ping?cb=first", "/poll?cname=a&cb=second", "/ping?cb=third", "/poll?cname=b&cb=fourth"))
	c.expectAnswers("first(")
	f := e.next(t)
	c.sendf("%s", pipelined("/ping?cb=fifth"))
	e.install("a", 1, 3)
	f.done.Done(channel.Result{})
	c.expectAnswers(`second({"type":"next_seq","cname":"a","seq":3`, "third(")
	f = e.next(t)
	e.install("b", 1, 1)
	f.done.Done(channel.Result{})
	c.expectAnswers(`fourth({"type":"next_seq","cname":"b","seq":1`, "fifth(")
	e.wantReleased(t, "a", "b")
}

// TestParkedJoinRefused: refusals are in-band, a store that is away is not; an
// EventSource is cut, since it never comes back after a status.
func TestParkedJoinRefused(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		channel.ErrToken:              "200 {\"type\":\"401\"",
		channel.ErrTooManySubscribers: "200 {\"type\":\"429\"",
		channel.ErrUnavailable:        "503 ",
		channel.ErrOverloaded:         "503 ",
	} {
		s, e := startStore(t)
		c := dial(t, s.front).get("/sub?cname=a")
		e.next(t).done.Done(channel.Result{Err: err})
		c.expectAnswers(want)
		c.get("/ping?cb=x").expectAnswers("x(") // the connection is as it was
		e.wantReleased(t)
	}
	s, e := startStore(t)
	c := dial(t, s.front).get("/sse?cname=a")
	e.next(t).done.Done(channel.Result{Err: channel.ErrUnavailable})
	c.expectEnd()
	checkFor(t, patience, func() error {
		if n := s.closedBy(reactor.ReasonUnavailable); n != 1 {
			return fmt.Errorf("%d are counted", n)
		}
		return nil
	})
}

// TestParkedClientLeaves: its place is given back.
func TestParkedClientLeaves(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := dial(t, s.front).get("/stream?cname=a")
	f := e.next(t)
	_ = c.Close()
	checkFor(t, patience, s.checkIdle)
	e.install("a", 1, 1)
	f.done.Done(channel.Result{})
	e.wantReleased(t, "a")
	if n := s.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
}

// TestParkedJoinFetchedAgain: a copy that has gone before its turn is fetched again.
func TestParkedJoinFetchedAgain(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := dial(t, s.front).get("/stream?cname=a&seq=1")
	e.next(t).done.Done(channel.Result{})
	f := e.next(t)
	e.install("a", 1, 2)
	f.done.Done(channel.Result{})
	c.head()
	if got := c.chunk(); !strings.Contains(got, `"seq":1`) {
		t.Errorf("got %q", got)
	}
	e.wantReleased(t, "a", "a")
}

// TestParkedPresence: the head comes when presence does.
func TestParkedPresence(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	c := dial(t, s.admin).get("/psub")
	done := e.nextWatch(t)
	done.Done(channel.Result{})
	c.head()
	s.hub.Announce(channel.Online, "a")
	if got := c.chunk(); got != "1 a\n" {
		t.Errorf("got %q", got)
	}
	refused := dial(t, s.admin).get("/psub")
	done = e.nextWatch(t)
	done.Done(channel.Result{Err: channel.ErrUnavailable})
	refused.expectAnswers("503 ")
}

// TestMoved: subscribers of a channel with a gap are told where it goes on, and go on
// with the new copy.
func TestMoved(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	paths := []string{"/stream?cname=a&seq=3", "/sse?cname=a&seq=3", "/iframe?cname=a&seq=3", "/sub?cname=a&seq=3"}
	var clients []*client
	e.install("a", 1, 3)
	for _, path := range paths {
		clients = append(clients, dial(t, s.front).get(path))
	}
	s.waitSubscribers("a", len(paths))
	old := e.copies["a"]
	e.hub.Uncopy(old, channel.Message{Seq: 10, Type: channel.Moved})
	var fetches []fetchCall
	for range paths[:3] { // there is no new copy yet: each has it fetched
		fetches = append(fetches, e.next(t))
	}
	e.install("a", 10, 12)
	for _, f := range fetches {
		if f.name != "a" {
			t.Fatalf("fetches %q", f.name)
		}
		f.done.Done(channel.Result{})
	}
	for _, c := range clients[:3] {
		c.until(`"type":"next_seq","cname":"a","seq":10`)
		c.until(`"seq":10,"content":"m10"`)
		c.until(`"seq":11,"content":"m11"`)
	}
	clients[3].expectAnswers(`200 {"type":"next_seq","cname":"a","seq":10`)
	s.waitSubscribers("a", 3)
	e.hub.Feed(e.copies["a"], channel.Message{Seq: 12, Content: "live"})
	for _, c := range clients[:3] {
		c.until(`"seq":12,"content":"live"`)
	}
}

// TestMovedAtOnce: the new copy is there already; and then the store goes away in
// between, so that the client has to come back.
func TestMovedAtOnce(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	e.install("a", 1, 9)
	c := s.subscribe("/stream?cname=a&seq=9")
	release := s.pause(0)
	old := e.copies["a"]
	e.hub.Uncopy(old, channel.Message{Seq: 1, Type: channel.Moved}) // it has begun anew
	e.install("a", 1, 3)
	release()
	c.until(`"type":"next_seq","cname":"a","seq":1`)
	c.until(`"seq":1,"content":"m1"`)
	c.until(`"seq":2,"content":"m2"`)
	e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 5, Type: channel.Moved})
	e.next(t).done.Done(channel.Result{Err: channel.ErrUnavailable})
	c.until(`"type":"next_seq","cname":"a","seq":5`)
	c.R.Discard(c.R.Buffered())
	if _, err := c.R.ReadByte(); err == nil {
		t.Error("the connection is not cut")
	}
}
