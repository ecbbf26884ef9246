package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// startWithDescriptors starts the server with a limit of open files, soft and hard.
func startWithDescriptors(t *testing.T, limit int, lines ...string) *daemon {
	t.Helper()
	return launch(t, underLimit(t, fmt.Sprint("ulimit -n ", limit), lines...))
}

// listener is one subscriber of the channel crowd.
type listener struct {
	*servertest.Conn
	status string // of the answer; "" if the connection was closed without one
	told   bool   // that there is no room, by the message 429 and the end of the connection
}

func listenAt(addr string) (*listener, error) {
	c, err := servertest.Dial(addr)
	if err != nil {
		return nil, err
	}
	l := &listener{Conn: c}
	fmt.Fprintf(c, "GET /stream?cname=crowd&seq=1 HTTP/1.1\r\nHost: t\r\n\r\n")
	head, _ := c.Head() // no head: closed without an answer
	if fields := strings.Fields(head); len(fields) > 1 {
		l.status = fields[1]
	}
	l.told = strings.Contains(head, "\r\nConnection: close\r\n")
	return l, nil
}

// rush lets n subscribers connect at once and returns those that got in.
func rush(t *testing.T, addr string, n int) (in []*listener) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			l, err := listenAt(addr)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case l.status == "200" && !l.told:
				in = append(in, l)
				return
			case l.status == "200":
				if err := l.expect("Too many subscribers"); err != nil {
					t.Error(err)
				}
			case l.status != "":
				t.Errorf("a newcomer gets status %s", l.status)
			}
			_ = l.Close()
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, l := range in {
			_ = l.Close()
		}
	})
	return in
}

// expect reads one message.
func (l *listener) expect(content string) error {
	chunk, err := l.Chunk()
	if err == nil && !strings.HasSuffix(chunk, `"content":"`+content+"\"}\n") {
		err = fmt.Errorf("chunk %q, want %q", chunk, content)
	}
	return err
}

// TestAcceptAtTheDescriptorLimit sends more connections than a server with 300
// descriptors can have, several times. The server must stop accepting before: gnet ends
// its whole engine when accept fails for lack of a descriptor.
func TestAcceptAtTheDescriptorLimit(t *testing.T) {
	t.Parallel()
	const limit = 300
	d := startWithDescriptors(t, limit, `limits.drain_timeout = "200ms"`)
	d.WaitLog("role=admin", 1)
	front, admin := d.Address("front"), d.Address("admin")
	in := rush(t, front, 2*limit)
	t.Logf("%d subscribers fit below %d descriptors", len(in), limit)
	if len(in) < 150 {
		t.Errorf("%d subscribers fit, want 150 at least", len(in))
	}
	publish := func(content string) {
		t.Helper()
		status, body, err := servertest.Get("http://" + admin + "/push?cname=crowd&content=" + content)
		if err != nil || status != 200 {
			t.Fatalf("publishing: %d %s %v\n%s", status, body, err, d.Log)
		}
		for i, l := range in {
			if err := l.expect(content); err != nil {
				t.Fatalf("subscriber %d: %v\n%s", i, err, d.Log)
			}
		}
	}
	publish("one")
	// The reserve for administrators, while newcomers keep coming.
	var admins []net.Conn
	for range 10 {
		nc, err := net.Dial("tcp", admin)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(startLimit))
		admins = append(admins, nc)
	}
	if late := rush(t, front, 2*limit); len(late) > 0 {
		t.Errorf("%d more got in over the cap", len(late))
	}
	for i, nc := range admins {
		fmt.Fprintf(nc, "GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if line, err := bufio.NewReader(nc).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Errorf("administrator %d gets %q, %v", i, line, err)
		}
	}
	publish("two")
	// It accepts again without help when some have left.
	for _, l := range in[:100] {
		_ = l.Close()
	}
	in = in[100:]
	checkFor(t, startLimit, func() error {
		status, body, err := servertest.Get("http://" + admin + "/info?cname=crowd")
		if want := fmt.Sprintf(`"subscribers": %d}`, len(in)); err != nil || !strings.Contains(body, want) {
			return fmt.Errorf("info: %d %s %v, want %s", status, body, err, want)
		}
		return nil
	})
	again := rush(t, front, 50)
	if len(again) != 50 {
		t.Errorf("%d of 50 newcomers got in", len(again))
	}
	if strings.Contains(d.Log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", d.Log)
	}
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
}

// TestResetStorm resets some thousand connections at every moment of their life, with
// output on its way. The process must release every descriptor.
func TestResetStorm(t *testing.T) {
	t.Parallel()
	d := startWithDescriptors(t, 600)
	d.WaitLog("role=admin", 1)
	front, admin := d.Address("front"), d.Address("admin")
	if _, _, err := servertest.Get("http://" + admin + "/info"); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t, d)
	stop := make(chan struct{})
	var publishing, clients sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _, _ = servertest.Get("http://" + admin + "/push?cname=crowd&content=" + strings.Repeat("x", 2000))
			}
		}
	})
	for worker := range 8 {
		clients.Go(func() {
			for i := range 250 {
				nc, err := net.DialTimeout("tcp", front, startLimit)
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.(*net.TCPConn).SetLinger(0)
				_ = nc.SetDeadline(time.Now().Add(startLimit))
				request := []string{"", "GET /stre", "BAD\r\n\r\n", "GET /sse?cname=crowd&seq=1 HTTP/1.1\r\nHost: t\r\n\r\n",
					"GET /poll?cname=crowd HTTP/1.1\r\nHost: t\r\n\r\nGET /poll?cname=crowd&seq=1 HTTP/1.1\r\n"}[(i+worker)%5]
				_, _ = nc.Write([]byte(request))
				if i%3 == 0 && len(request) > 20 {
					_, _ = nc.Read(make([]byte, 100))
				}
				_ = nc.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	publishing.Wait()
	checkFor(t, startLimit, func() error {
		if n := openFiles(t, d); n > before {
			return fmt.Errorf("%d files are open, %d before", n, before)
		}
		status, body, err := servertest.Get("http://" + admin + "/info")
		if err != nil || !strings.Contains(body, `"subscribers": 0`) {
			return fmt.Errorf("info: %d %s %v", status, body, err)
		}
		return nil
	})
	if log := d.Log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "stale") {
		t.Errorf("the log has errors:\n%s", log)
	}
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
}

func openFiles(t *testing.T, d *daemon) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
