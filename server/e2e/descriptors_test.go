package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// churn is many short-lived subscribers, each on a channel of its own that is
// published to all the time, so that descriptors are reused while writes to the
// old owners are on their way.
type churn struct {
	s       *testServer
	wrong   chan error
	names   []atomic.Pointer[string] // the present channel of each worker
	readers sync.WaitGroup
	stop    atomic.Bool
	got     atomic.Int64
}

// visit subscribes, reads some messages and leaves in one of four ways.
func (ch *churn) visit(worker, round int, r *rand.Rand) error {
	name := fmt.Sprintf("w%dr%d", worker, round)
	f, err := servertest.Subscribe(ch.s.front, []string{"stream", "sse", "iframe", "sub"}[r.IntN(4)], name, 1)
	if err != nil {
		return err
	}
	defer f.Close()
	ch.names[worker].Store(&name)
	for range r.IntN(5) {
		ms, err := f.Messages()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range ms {
			// Between two polls more may have been published than is kept.
			gap := m.Seq < f.Next || m.Seq > f.Next && f.Kind != "sub"
			if m.Cname != name || m.Content != "tag-"+name || gap {
				return fmt.Errorf("%s (seq %d) got %+v", name, f.Next, m)
			}
			f.Next = m.Seq + 1
			ch.got.Add(1)
		}
	}
	switch r.IntN(4) {
	case 0:
		_ = f.SetLinger(0) // a reset
	case 1:
		_ = f.CloseWrite()
		_, _ = io.Copy(io.Discard, f)
	case 2:
		_, _ = f.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", r.IntN(3)))) // unread input
	}
	return nil
}

// TestNoByteOfOneReachesAnother churns through some thousand connections.
func TestNoByteOfOneReachesAnother(t *testing.T) {
	t.Parallel()
	const workers, rounds = 12, 120
	s := startServer(t, func(c *config.Config) { c.Runtime.EventLoops = 3 })
	ch := &churn{s: s, wrong: make(chan error, workers), names: make([]atomic.Pointer[string], workers)}
	for worker := range workers {
		ch.readers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for round := range rounds {
				if err := ch.visit(worker, round, r); err != nil {
					ch.wrong <- err
					return
				}
			}
		})
	}
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(func() {
			for i := 0; !ch.stop.Load(); i++ {
				if name := ch.names[i%workers].Load(); name != nil {
					if _, err := s.hub.Publish(&channel.Publication{Name: []byte(*name), Content: "tag-" + *name}); err != nil && !errors.Is(err, channel.ErrOverloaded) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	ch.readers.Wait()
	ch.stop.Store(true)
	publishers.Wait()
	close(ch.wrong)
	for err := range ch.wrong {
		t.Error(err)
	}
	if ch.got.Load() < workers*rounds {
		t.Errorf("only %d messages were read", ch.got.Load())
	}
	checkFor(t, patience, s.checkIdle)
	if log := s.log.String(); strings.Contains(log, "stale") {
		t.Errorf("events of closed connections reached gnet:\n%s", log)
	}
}

// answeredOver is how many newcomers over the cap are told so at a time.
const answeredOver = 8

// full starts a server with a cap and fills it with streams.
func full(t *testing.T, limit int) (s *testServer, there []*client) {
	t.Helper()
	s = startServer(t, func(c *config.Config) { c.Limits.Connections = limit })
	for range limit {
		there = append(there, s.subscribe("/stream?cname=a&seq=1"))
	}
	return s, there
}

// TestOverTheCap: newcomers to a full server are told so or closed, who is there notices
// nothing, and administrators still get in.
func TestOverTheCap(t *testing.T) {
	t.Parallel()
	s, there := full(t, 20)
	told := 0
	for range 3 * answeredOver {
		c := dial(t, s.front)
		_, _ = io.WriteString(c, "GET /ping HTTP/1.1\r\nHost: test\r\n\r\n")
		line, _ := c.R.ReadString('\n')
		if strings.HasPrefix(line, "HTTP/1.1 503 ") {
			told++
			if head := c.head(); !strings.Contains(head, "\r\nRetry-After: 5\r\n") {
				t.Errorf("head of a refusal: %s", head)
			}
		} else if line != "" {
			t.Errorf("a newcomer gets %q", line)
		}
	}
	if told < answeredOver {
		t.Errorf("%d newcomers were told, want at least %d", told, answeredOver)
	}
	s.call("/push?cname=a&content=hi")
	for _, c := range there {
		if got := c.chunk(); !strings.Contains(got, `"seq":1,"content":"hi"`) {
			t.Errorf("got %q", got)
		}
	}
	_ = there[0].Close()
	checkFor(t, patience, func() error {
		status, _ := s.tryPing()
		if status != 200 {
			return fmt.Errorf("a newcomer gets status %d when there is room", status)
		}
		return nil
	})
}

// TestSubscriberOverTheCap: a subscriber never gets a status that a browser takes for final,
// but the message 429 in its transport's framing, and then the end of the connection.
func TestSubscriberOverTheCap(t *testing.T) {
	t.Parallel()
	s, there := full(t, 20)
	// Only a few newcomers are told at a time.
	leave := func(c *client) {
		c.Close()
		checkFor(t, patience, func() error {
			if open, limit := s.reactor.Connections(); open > limit {
				return fmt.Errorf("%d connections, want %d", open, limit)
			}
			return nil
		})
	}
	for _, transport := range transports {
		sub := s.open(transport, "cname=new")
		sub.want("429", "new", 0, "Too many subscribers")
		if !sub.polls && sub.chunk() != "" {
			t.Errorf("/%s: the response goes on", transport)
		}
		sub.expectEnd()
		leave(sub.client)
		for _, request := range []string{"HEAD /" + transport, "OPTIONS /" + transport} {
			c := dial(t, s.front)
			c.sendf("%s HTTP/1.1\r\nHost: test\r\nOrigin: http://page\r\n\r\n", request)
			if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 20") || !strings.Contains(head, "\r\nConnection: close\r\n") {
				t.Errorf("%s: %q", request, head)
			}
			c.expectEnd()
			leave(c)
		}
		c := dial(t, s.front).get("/" + transport)
		c.wantError(400, "cname", true)
		leave(c)
	}
	for _, request := range []string{"GET /ping", "GET /icomet.js", "GET /nothing", "PUT /sse", "OPTIONS /ping"} {
		c := dial(t, s.front)
		c.sendf("%s HTTP/1.1\r\nHost: test\r\n\r\n", request)
		c.wantError(503, "limits.connections", true)
		leave(c)
	}
	if got := s.hub.Channels(); got != 1 {
		t.Errorf("%d channels: a refused subscriber has created one", got)
	}
	stats := s.Stats()
	if n := stats.Refused["connection_limit"]; n != uint64(len(transports)) {
		t.Errorf("%d subscribers are counted as refused for the cap, want %d", n, len(transports))
	}
	checkFor(t, patience, func() error {
		if n, want := s.closedBy(reactor.ReasonConnections), uint64(4*len(transports)+5); uint64(n) != want {
			return fmt.Errorf("%d connections were closed for the cap, want %d", n, want)
		}
		return nil
	})
	_ = there[0].Close()
	checkFor(t, patience, func() error {
		status, _ := s.tryPing()
		if status != 200 {
			return fmt.Errorf("a newcomer gets status %d when there is room", status)
		}
		return nil
	})
	checkFor(t, patience, func() error { // the ping leaves its place
		if open, limit := s.reactor.Connections(); open >= limit {
			return fmt.Errorf("%d connections of %d", open, limit)
		}
		return nil
	})
	s.open("sse", "cname=new").want("next_seq", "new", 1, "")
}

// tryPing asks the front port; status 0 is a closed connection.
func (s *testServer) tryPing() (status int, err error) {
	nc, err := servertest.Dial(s.front)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "GET /ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanf(nc, "HTTP/1.1 %d", &status)
	return status, err
}
