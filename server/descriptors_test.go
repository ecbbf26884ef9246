package server

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"icomet/channel"
)

// TestNothingIsWrittenAfterClose closes a subscriber's connection and gives its
// descriptor to somebody else at once. Whatever the server then still does with its
// record, the new owner gets no byte and keeps both halves (gnet fact 6).
func TestNothingIsWrittenAfterClose(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Runtime.EventLoops = 1 })
	kinds := map[string]func(*conn){
		"send":       func(c *conn) { c.send([]byte("foreign")) },
		"flush":      func(c *conn) { c.loop.out.B = append(c.loop.out.B, "foreign"...); c.flush() },
		"beginDrain": func(c *conn) { c.beginDrain(reasonAnswered) },
		"failWith":   func(c *conn) { c.failWith(head{status: 408}, "too late", reasonRequestTimeout) },
		"doom":       func(c *conn) { c.loop.doom(c, reasonIdle); c.loop.closeDoomed() },
		"deliver": func(c *conn) {
			c.transport = transportStream
			b := &batch{msgs: []channel.Message{{Seq: 1 << 40, Content: "foreign"}}, cname: []byte("a")}
			c.loop.deliver(b, c)
			c.transport = transportNone
		},
		"arrived": func(c *conn) {
			a := &answer{conn: c, ready: true, text: []byte("foreign")}
			c.exchange().pending = append(c.exchange().pending, a)
			a.arrived()
		},
	}
	for name, act := range kinds {
		t.Run(name, func(t *testing.T) {
			c := s.subscribe("/stream?cname=a&seq=1")
			s.waitSubscribers("a", 1)
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			defer unix.Close(pair[1])
			l, result := s.reactor.loops[0], make(chan error)
			l.post(func() { result <- actOnClosed(l, l.conns()[0], pair, act) })
			if err := <-result; err != nil {
				t.Error(err)
			}
			c.expectEnd()
			checkFor(t, patience, s.checkIdle)
		})
	}
}

// actOnClosed closes c, puts pair[0] in the place of its descriptor, and looks
// whether act does anything to it. It runs on the loop.
func actOnClosed(l *loop, c *conn, pair [2]int, act func(*conn)) error {
	fd := int(c.fd)
	_ = c.gc.EventLoop().Close(c.gc)
	if c.state != stateClosed {
		return errors.New("the connection is not closed")
	}
	if err := unix.Dup3(pair[0], fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(fd)
	act(c)
	buf := make([]byte, 1000)
	if n, err := unix.Read(pair[1], buf); err != unix.EAGAIN {
		return fmt.Errorf("the new owner of the descriptor reads %q, %v", buf[:max(n, 0)], err)
	}
	if _, err := unix.Write(pair[1], []byte{1}); err != nil {
		return fmt.Errorf("its connection is broken: %w", err)
	}
	if c.slot != noSlot {
		return errors.New("the closed connection is in the wheel")
	}
	for ch := range l.working {
		return fmt.Errorf("a batch is at work for %v", ch)
	}
	return nil
}

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
	f, err := openFeed(ch.s.front, []string{"stream", "sse", "iframe", "sub"}[r.IntN(4)], name, 1)
	if err != nil {
		return err
	}
	defer f.Close()
	ch.names[worker].Store(&name)
	for range r.IntN(5) {
		ms, err := f.read()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range ms {
			// Between two polls more may have been published than is kept.
			gap := m.Seq < f.next || m.Seq > f.next && f.kind != "sub"
			if m.Cname != name || m.Content != "tag-"+name || gap {
				return fmt.Errorf("%s (seq %d) got %+v", name, f.next, m)
			}
			f.next = m.Seq + 1
			ch.got.Add(1)
		}
	}
	switch tcp := f.TCPConn; r.IntN(4) {
	case 0:
		_ = tcp.SetLinger(0) // a reset
	case 1:
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, f)
	case 2:
		_, _ = f.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", r.IntN(3)))) // unread input
	}
	return nil
}

// TestNoByteOfOneReachesAnother churns through some thousand connections.
func TestNoByteOfOneReachesAnother(t *testing.T) {
	const workers, rounds = 12, 120
	s := startServer(t, func(c *Config) { c.Runtime.EventLoops = 3 })
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
					if _, err := s.hub.Publish([]byte(*name), "tag-"+*name); err != nil && !errors.Is(err, channel.ErrOverloaded) {
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

// TestOverTheCap fills a server with a small cap: newcomers are told so or closed,
// who is there notices nothing, and administrators still get in.
func TestOverTheCap(t *testing.T) {
	const limit = 20
	s := startServer(t, func(c *Config) { c.Limits.Connections = limit })
	var there []*client
	for range limit {
		there = append(there, s.subscribe("/stream?cname=a&seq=1"))
	}
	told := 0
	for range 3 * answeredOver {
		c := dial(t, s.front)
		_, _ = io.WriteString(c, "GET /stream?cname=a HTTP/1.1\r\nHost: test\r\n\r\n")
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

// tryPing asks the front port; status 0 is a closed connection.
func (s *testServer) tryPing() (status int, err error) {
	nc, err := net.DialTimeout("tcp", s.front, patience)
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
