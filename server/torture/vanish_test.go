package torture

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
)

// vanish makes a client's kernel drop every packet that comes to its socket, before
// TCP sees it: no acknowledgement, no reset, as if the cable were cut. Unlike a
// network namespace it needs no privileges, and it works for one connection.
func vanish(nc net.Conn) error {
	rc, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	var set error
	err = rc.Control(func(fd uintptr) {
		set = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
	})
	runtime.KeepAlive(drop)
	if err != nil {
		return err
	}
	return set
}

// gone is a way for peers to go.
type gone struct {
	name     string
	settings []string
	request  string // %d is the number
	leave    func(net.Conn) error
	within   time.Duration
	talk     bool // messages are published to them meanwhile
}

const keepalive = 2 * time.Second

// lateness is how much later than promised something may come. Beside other tests the
// machine can be busy for long; "make torture" has it for itself.
var lateness = sized(patience, 5*time.Second)

// vanished is what limits.keepalive promises: about twice its time.
var vanished = 2*keepalive + lateness

var partings = []gone{
	{name: "vanished, silent", request: "GET /stream?cname=c%d&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", leave: vanish, within: vanished},
	{name: "vanished, heartbeats unacknowledged", settings: []string{"FRONT_POLLING_TIMEOUT=1"},
		request: "GET /sse?cname=c%d&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", leave: vanish, within: vanished},
	{name: "vanished, messages unacknowledged", request: "GET /stream?cname=busy&seq=%d HTTP/1.1\r\nHost: localhost\r\n\r\n",
		leave: vanish, within: vanished, talk: true},
	{name: "vanished in a poll", request: "GET /poll?cname=c%d&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", leave: vanish, within: vanished},
	{name: "vanished in a request", settings: []string{"LIMITS_REQUEST_TIMEOUT=1h"}, request: "GET /stream?cname=c%d", leave: vanish, within: vanished},
	{name: "half-closed", request: "GET /stream?cname=c%d&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		leave: func(nc net.Conn) error { return nc.(*net.TCPConn).CloseWrite() }, within: lateness},
	{name: "reset", request: "GET /stream?cname=c%d&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		leave: func(nc net.Conn) error { reset(nc); return nil }, within: lateness},
}

// TestPeersThatGo: peers that vanish, half-close or reset are noticed and freed within
// what limits.keepalive promises, and those who stay are not.
func TestPeersThatGo(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup // t.Parallel would let as many wait at once as there are cores
	for _, p := range partings {
		all.Go(func() { t.Run(p.name, p.run) })
	}
	all.Wait()
}

func (p *gone) run(t *testing.T) {
	n := sized(20, 1000)
	d := start(t, servertest.PlainBinary, "", append(p.settings, "LIMITS_KEEPALIVE="+keepalive.String(), "LIMITS_IDLE_TIMEOUT=1h")...)
	stays, err := subscribe(d.front, "stream", "stays", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.nc.Close()
	before := d.descriptors() // with the administrator's, which stats opens
	var peers []net.Conn
	for i := range n {
		nc, err := dial(d.front, 0)
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, nc)
		defer nc.Close()
		if _, err := fmt.Fprintf(nc, p.request, i+1); err != nil {
			t.Fatal(err)
		}
	}
	d.waitStats(patience, func(s stats) error {
		if whole := strings.HasSuffix(p.request, "\r\n\r\n"); s.Connections.Front != n+1 || whole && s.Subscribers != n+1 {
			return fmt.Errorf("%d connections, %d subscribers, want %d", s.Connections.Front, s.Subscribers, n+1)
		}
		return nil
	})
	began := time.Now()
	for _, nc := range peers {
		if err := p.leave(nc); err != nil {
			t.Fatal(err)
		}
	}
	d.waitStats(p.within, func(s stats) error {
		if p.talk {
			d.push("busy", "x")
		}
		if s.Connections.Front != 1 || s.Subscribers != 1 || d.descriptors() > before+1 {
			return fmt.Errorf("%d connections, %d subscribers, %d descriptors (%d before)",
				s.Connections.Front, s.Subscribers, d.descriptors(), before)
		}
		return nil
	})
	t.Logf("freed within %v", time.Since(began))
	d.push("stays", "still here")
	if err := stays.want(1, "still here"); err != nil {
		t.Errorf("who stayed: %v", err)
	}
}
