//go:build torture

package torture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
)

// comeBack undoes vanish.
func comeBack(nc net.Conn) error {
	rc, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = rc.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	})
	return errors.Join(err, set)
}

// unanswered is how many keep-alive probes to a client its server's kernel has sent
// without an answer: the column "timeout" of /proc/net/tcp.
func unanswered(server, client net.Addr) (probes int, err error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	port := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 8 && strings.HasSuffix(f[1], port(server)) && strings.HasSuffix(f[2], port(client)) {
			return strconv.Atoi(f[8])
		}
	}
	return 0, errors.New("the server has closed the connection")
}

// TestLostProbe: a keep-alive probe that is lost on the way ends nobody.
func TestLostProbe(t *testing.T) {
	const keepalive = 10 * time.Second // a probe 2 s after the other
	d := start(t, servertest.PlainBinary, "", "LIMITS_KEEPALIVE="+keepalive.String())
	s, err := subscribe(d.front, "stream", "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.nc.Close()
	d.waitStats(patience, func(s stats) error {
		if s.Subscribers != 1 {
			return fmt.Errorf("%d subscribers", s.Subscribers)
		}
		return nil
	})
	probes := func(want int) {
		t.Helper()
		checkFor(t, keepalive+patience, func() error {
			n, err := unanswered(s.nc.RemoteAddr(), s.nc.LocalAddr())
			if err == nil && n != want {
				err = fmt.Errorf("%d probes are unanswered, want %d", n, want)
			}
			return err
		})
	}
	if err := vanish(s.nc); err != nil {
		t.Fatal(err)
	}
	probes(1)
	if err := comeBack(s.nc); err != nil {
		t.Fatal(err)
	}
	probes(0) // the second was answered
	d.push("a", "still here")
	if err := s.want(1, "still here"); err != nil {
		t.Error(err)
	}
}
