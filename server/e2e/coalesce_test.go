package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"icomet/channel"
)

// pause stops an event loop at the beginning of a run, and returns what lets it go on.
func (s *testServer) pause(loop int) (release func()) {
	reached, gate := make(chan struct{}), make(chan struct{})
	s.reactor.Post(loop, func() { close(reached); <-gate })
	<-reached
	return sync.OnceFunc(func() { close(gate) })
}

// pauseAll stops all event loops.
func (s *testServer) pauseAll() (release func()) {
	var all []func()
	for i := range s.reactor.Counters() {
		all = append(all, s.pause(i))
	}
	return func() {
		for _, goOn := range all {
			goOn()
		}
	}
}

// segmentsIn counts the TCP segments with data that came in on a connection: on
// loopback, with small writes and without Nagle's delay, one for each write. From now on
// the kernel acknowledges at once: it would send a segment again that waits for that (a tail
// loss probe), the sooner behind a TLS handshake, which shows it how short the way is.
func segmentsIn(t *testing.T, c *client) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		info, e := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err = e; err == nil {
			n = int(info.Data_segs_in)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWaitingMessagesShareAWrite publishes while the loops stand still.
func TestWaitingMessagesShareAWrite(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, path := range []string{"/stream?cname=a&seq=1", "/sse?cname=b&seq=1", "/iframe?cname=c&seq=1"} {
		c := s.subscribe(path)
		name := []byte(strings.TrimSuffix(path[strings.Index(path, "=")+1:], "&seq=1"))
		before := segmentsIn(t, c)
		release := s.pauseAll()
		for i := range 8 {
			if _, err := s.hub.Publish(&channel.Publication{Name: name, Content: fmt.Sprint("m", i)}); err != nil {
				t.Error(err)
			}
		}
		release()
		for i := range 8 {
			if got, want := c.chunk(), fmt.Sprintf(`"seq":%d,"content":"m%d"}`, i+1, i); !strings.Contains(got, want) {
				t.Errorf("%s: chunk %d is %q", path, i, got)
			}
		}
		if n := segmentsIn(t, c) - before; n != 1 {
			t.Errorf("%s: 8 messages came in %d writes", path, n)
		}
	}
}
