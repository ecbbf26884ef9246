//go:build !race

package e2e

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/server/config"
	"icomet/server/servertest"
)

// allocsPublisher publishes over a keep-alive connection and allocates nothing.
type allocsPublisher struct {
	nc      net.Conn
	request []byte
	answer  []byte
}

func newAllocsPublisher(t *testing.T, s *testServer) *allocsPublisher {
	t.Helper()
	nc, err := net.Dial("tcp", s.admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(3 * patience))
	p := &allocsPublisher{nc: nc}
	p.request = []byte("GET /push?cname=a&content=0123456789012345678901234567890123456789 HTTP/1.1\r\nHost: test\r\n\r\n")
	first := make([]byte, 4096)
	if _, err := nc.Write(p.request); err != nil {
		t.Fatal(err)
	}
	n, err := nc.Read(first)
	if err != nil || !bytes.HasSuffix(first[:n], []byte(`{"type":"ok"}`+"\n")) {
		t.Fatalf("the answer is %q, %v", first[:n], err)
	}
	p.answer = first[:n]
	return p
}

func (p *allocsPublisher) publish(t *testing.T) {
	if _, err := p.nc.Write(p.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.nc, p.answer); err != nil {
		t.Fatal(err)
	}
}

func (s *testServer) deliveries() (n uint64) {
	for _, c := range s.reactor.Counters() {
		n += c.Deliveries.Load()
	}
	return n
}

// ticks is the time of the reactor's, in its ticks.
func (s *testServer) ticks() int { return int(time.Since(s.reactor.Started()) / tickLength) }

// allocsPerPublish is the objects allocated in the whole process for each of n
// publishes that subscribers get, one after the other, less what the ticks allocate
// meanwhile. The subscribers read nothing: what comes fits into their sockets.
func allocsPerPublish(t *testing.T, s *testServer, p *allocsPublisher, n, subscribers int) float64 {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	idle, ticks := mallocs(s, func() {
		for until := s.ticks() + 20; s.ticks() < until; { // some things happen once a second
			runtime.Gosched()
		}
	})
	perTick, least := idle/ticks, 1e9
	for range 3 { // the least counts: there is more going on in a process
		got, ticks := mallocs(s, func() {
			for range n {
				want := s.deliveries() + uint64(subscribers)
				p.publish(t)
				for s.deliveries() < want {
					runtime.Gosched()
				}
			}
		})
		least = min(least, (got-ticks*perTick)/float64(n))
	}
	return least
}

// mallocs counts the objects allocated, and the ticks passed, while f runs.
func mallocs(s *testServer, f func()) (objects, ticks float64) {
	var before, after runtime.MemStats
	from := s.ticks()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), float64(s.ticks() - from)
}

// allocsSubscribe opens n responses on plain descriptors, as cheap as possible.
func allocsSubscribe(t *testing.T, s *testServer, path string, n int) {
	t.Helper()
	addr := s.FrontAddr().(*net.TCPAddr)
	fields := ""
	if strings.HasPrefix(path, "/ws") {
		fields = servertest.WebSocketFields
	}
	to := &unix.SockaddrInet4{Port: addr.Port}
	copy(to.Addr[:], addr.IP.To4())
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("GET "+path+" HTTP/1.1\r\nHost: t\r\n"+fields+"\r\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAllocsPublishPath: parse, route, publish, deliver. What is left is the content,
// and gnet's task that wakes a loop (a closure and a queue node).
func TestAllocsPublishPath(t *testing.T) {
	s := startServer(t, func(c *config.Config) { c.Runtime.EventLoops = 1 })
	p := newAllocsPublisher(t, s)
	allocsSubscribe(t, s, "/stream?cname=a&seq=1", 1)
	s.waitSubscribers("a", 1)
	got := allocsPerPublish(t, s, p, 500, 1)
	t.Logf("%.2f allocations a publish", got)
	if got > 3.2 { // a tick more or less
		t.Errorf("%.2f allocations a publish, want 3 at most", got)
	}
}

// TestAllocsDoNotGrowWithSubscribers compares publishes to few and to thousands, by a stream, a
// WebSocket, and connections with several channels.
func TestAllocsDoNotGrowWithSubscribers(t *testing.T) {
	const few, many = 10, 4000
	for _, path := range []string{
		"/stream?cname=a&seq=1", "/ws?cname=a&seq=1", "/ws?cname=b&seq=1&cname=a&seq=1", "/sse?cname=a&seq=1&cname=b&seq=1",
	} {
		t.Run(path, func(t *testing.T) {
			s := startServer(t, nil)
			p := newAllocsPublisher(t, s)
			allocsSubscribe(t, s, path, few)
			s.waitSubscribers("a", few)
			little := allocsPerPublish(t, s, p, 20, few)
			allocsSubscribe(t, s, path, many-few)
			s.waitSubscribers("a", many)
			much := allocsPerPublish(t, s, p, 20, many)
			t.Logf("%.1f allocations a publish to %d subscribers, %.1f to %d", little, few, much, many)
			if much > little+many/100 { // one a delivery would be 4,000; a busy machine has more ticks
				t.Errorf("%.1f allocations a publish to %d subscribers, %.1f to %d", little, few, much, many)
			}
		})
	}
}

// TestAllocsPolls: polls that are answered at once, with the next seq, with a backlog and with
// their position, allocate nothing.
func TestAllocsPolls(t *testing.T) {
	s := startServer(t, func(c *config.Config) { c.Runtime.EventLoops = 1 })
	s.call("/push?cname=a&content=x")
	for _, query := range []string{"", "&seq=1", "&epoch=", "&seq=1&epoch="} {
		nc, err := net.Dial("tcp", s.front)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		p := &allocsPublisher{nc: nc, request: []byte("GET /sub?cname=a" + query + " HTTP/1.1\r\nHost: test\r\n\r\n"), answer: make([]byte, 4096)}
		if _, err := nc.Write(p.request); err != nil {
			t.Fatal(err)
		}
		n, err := nc.Read(p.answer)
		if err != nil || !bytes.HasPrefix(p.answer[:n], []byte("HTTP/1.1 200 ")) {
			t.Fatalf("the answer is %q, %v", p.answer[:n], err)
		}
		p.answer = p.answer[:n]
		least := 1e9
		for range 3 {
			const polls = 500
			got, _ := mallocs(s, func() {
				for range polls {
					p.publish(t)
				}
			})
			least = min(least, got/polls)
		}
		if least > 0.3 { // the process has ticks
			t.Errorf("%.2f allocations for a poll with %q", least, query)
		}
		nc.Close()
	}
}
