package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWithDescriptors starts the server with a limit of open files, soft and hard.
func startWithDescriptors(t *testing.T, limit int, lines ...string) *daemon {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil)
	script := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, limit), "sh", path, writeConfig(t, lines...))
	script.Env = cmd.Env
	return launch(t, script)
}

// listener is one subscriber of the channel crowd.
type listener struct {
	nc     net.Conn
	r      *bufio.Reader
	status string // of the answer; "" when the connection was closed without one
}

func listenAt(addr string) (*listener, error) {
	nc, err := net.DialTimeout("tcp", addr, startLimit)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(startLimit))
	l := &listener{nc: nc, r: bufio.NewReader(nc)}
	fmt.Fprintf(nc, "GET /stream?cname=crowd&seq=1 HTTP/1.1\r\nHost: t\r\n\r\n")
	line, _ := l.r.ReadString('\n')
	if fields := strings.Fields(line); len(fields) > 1 {
		l.status = fields[1]
	}
	for line != "\r\n" && line != "" {
		line, _ = l.r.ReadString('\n')
	}
	return l, nil
}

// rush lets n subscribers come at once and returns those that are in.
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
			switch l.status {
			case "200":
				in = append(in, l)
				return
			case "503", "":
			default:
				t.Errorf("a newcomer gets status %s", l.status)
			}
			_ = l.nc.Close()
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, l := range in {
			_ = l.nc.Close()
		}
	})
	return in
}

// expect reads one message.
func (l *listener) expect(content string) error {
	size, err := l.r.ReadString('\n')
	if err != nil {
		return err
	}
	line, err := l.r.ReadString('\n')
	if err != nil || !strings.Contains(line, `"content":"`+content+`"}`) {
		return fmt.Errorf("chunk %q %q: %w", size, line, errors.Join(err))
	}
	_, err = l.r.ReadString('\n')
	return err
}

// get makes one admin request on a connection of its own.
func get(url string) (status int, body string, err error) {
	client := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestAcceptAtTheDescriptorLimit rushes a server that may open 300 files, more than
// once. gnet ends its whole engine when accept finds no descriptor (gnet fact 7).
func TestAcceptAtTheDescriptorLimit(t *testing.T) {
	const limit = 300
	d := startWithDescriptors(t, limit, `limits.drain_timeout = "200ms"`)
	d.waitForLog(t, "role=admin", 1)
	front, admin := d.address(t, "front"), d.address(t, "admin")
	in := rush(t, front, 2*limit)
	t.Logf("%d subscribers fit below %d descriptors", len(in), limit)
	if len(in) < 150 {
		t.Errorf("%d subscribers fit, want 150 at least", len(in))
	}
	publish := func(content string) {
		t.Helper()
		status, body, err := get("http://" + admin + "/push?cname=crowd&content=" + content)
		if err != nil || status != 200 {
			t.Fatalf("publishing: %d %s %v\n%s", status, body, err, d.log)
		}
		for i, l := range in {
			if err := l.expect(content); err != nil {
				t.Fatalf("subscriber %d: %v\n%s", i, err, d.log)
			}
		}
	}
	publish("one")
	// The administrators' own reserve, while newcomers keep coming.
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
	// It recovers by itself when some have left.
	for _, l := range in[:100] {
		_ = l.nc.Close()
	}
	in = in[100:]
	checkFor(t, startLimit, func() error {
		status, body, err := get("http://" + admin + "/info?cname=crowd")
		if want := fmt.Sprintf(`"subscribers": %d}`, len(in)); err != nil || !strings.Contains(body, want) {
			return fmt.Errorf("info: %d %s %v, want %s", status, body, err, want)
		}
		return nil
	})
	again := rush(t, front, 50)
	if len(again) != 50 {
		t.Errorf("%d of 50 newcomers got in", len(again))
	}
	if strings.Contains(d.log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", d.log)
	}
	d.send(t, syscall.SIGTERM)
	d.waitForEnd(t, 0)
}

// TestResetStorm resets some thousand connections at every moment of their life,
// with output on its way: the process gives every descriptor back.
func TestResetStorm(t *testing.T) {
	d := startWithDescriptors(t, 600)
	d.waitForLog(t, "role=admin", 1)
	front, admin := d.address(t, "front"), d.address(t, "admin")
	if _, _, err := get("http://" + admin + "/info"); err != nil {
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
				_, _, _ = get("http://" + admin + "/push?cname=crowd&content=" + strings.Repeat("x", 2000))
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
		status, body, err := get("http://" + admin + "/info")
		if err != nil || !strings.Contains(body, `"subscribers": 0`) {
			return fmt.Errorf("info: %d %s %v", status, body, err)
		}
		return nil
	})
	if log := d.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "stale") {
		t.Errorf("the log has errors:\n%s", log)
	}
	d.send(t, syscall.SIGTERM)
	d.waitForEnd(t, 0)
}

func openFiles(t *testing.T, d *daemon) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
