package server

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for something that has to happen.
const patience = 20 * time.Second

// TestMain fails the run when servers or clients have left goroutines or
// descriptors behind.
func TestMain(m *testing.M) {
	goroutines, descriptors := countGoroutines(), countDescriptors()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // the fuzzer leaves some of its own
	}
	http.DefaultClient.CloseIdleConnections()
	limit := patience
	if kind := os.Getenv(leakVariable); kind != "" && kind != "none" {
		limit = time.Second // it will not pass
	}
	err := poll(limit, func() error {
		if n := countDescriptors(); n > descriptors {
			return fmt.Errorf("%d descriptors more than at the start", n-descriptors)
		}
		if n := countGoroutines(); n > goroutines {
			return fmt.Errorf("%d goroutines more than at the start", n-goroutines)
		}
		return nil
	})
	if err != nil && code == 0 {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "leak: %v\n%s\n", err, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// countGoroutines leaves out those of gnet's worker pool, which come and go.
func countGoroutines() (n int) {
	buf := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if !strings.Contains(stack, "/ants/v2.") {
			n++
		}
	}
	return n
}

func countDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// poll calls f until it succeeds, at most for limit, and returns its last error.
func poll(limit time.Duration, f func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// checkFor fails the test when f has not succeeded within limit.
func checkFor(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	if err := poll(limit, f); err != nil {
		t.Fatalf("after %v: %v", limit, err)
	}
}

// logBuffer collects log lines; tests read it while the server writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testServer is a running server on ports of its own.
type testServer struct {
	*Server
	t            testing.TB
	front, admin string // addresses
	log          *logBuffer
	ended        chan error // Run's result
}

// startServer runs a server with the defaults, on free ports, as changed by edit
// (nil: not at all). It is drained at the end of the test.
func startServer(t testing.TB, edit func(*Config)) *testServer {
	t.Helper()
	return startServerAs(t, edit, true, nil)
}

// startServerAs says whether a panic ends the test, and what is done before Run.
func startServerAs(t testing.TB, edit func(*Config), crashOnPanic bool, early func(*Server)) *testServer {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Runtime.EventLoops = 2
	cfg.Limits.DrainTimeout = Duration(100 * time.Millisecond)
	if edit != nil {
		edit(&cfg)
	}
	if len(cfg.Admin.Hosts) == 0 {
		cfg.Admin.Hosts = []string{"*"} // the clients here name all kinds of hosts
	}
	log := new(logBuffer)
	srv, err := New(Options{Config: cfg, Logger: slog.New(slog.NewTextHandler(log, nil)), CrashOnPanic: crashOnPanic})
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{Server: srv, t: t, log: log, ended: make(chan error, 1)}
	if early != nil {
		early(srv)
	}
	go func() { s.ended <- srv.Run() }()
	t.Cleanup(s.stop)
	select {
	case <-srv.Ready():
	case err := <-s.ended:
		s.ended <- err
		t.Fatalf("the server ended at once: %v\n%s", err, log)
	case <-time.After(patience):
		t.Fatalf("the server does not start\n%s", log)
	}
	s.front, s.admin = srv.FrontAddr().String(), srv.AdminAddr().String()
	return s
}

func (s *testServer) stop() {
	s.Shutdown()
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			s.t.Errorf("the server ended with %v\n%s", err, s.log)
		}
	case <-time.After(patience):
		s.t.Errorf("the server does not stop\n%s", s.log)
	}
}

// call makes an admin request and returns its body; another status than 200 fails.
func (s *testServer) call(path string) string {
	s.t.Helper()
	status, body := s.request("GET", s.admin, path)
	if status != 200 {
		s.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// request makes one request on a connection of its own.
func (s *testServer) request(method, addr, path string) (status int, body string) {
	s.t.Helper()
	c := dial(s.t, addr)
	defer c.Close()
	c.sendf("%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", method, path)
	return c.response()
}

// client is a raw connection with a deadline on everything.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &client{Conn: nc, t: t, r: bufio.NewReader(nc)}
	_ = nc.SetDeadline(time.Now().Add(patience))
	return c
}

func (c *client) sendf(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// get sends a GET and leaves the answer to be read.
func (c *client) get(path string) *client {
	c.t.Helper()
	c.sendf("GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path)
	return c
}

// response reads one whole answer.
func (c *client) response() (status int, body string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("reading a response: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("reading a body: %v", err)
	}
	return resp.StatusCode, string(b)
}

// head reads up to the empty line and returns it.
func (c *client) head() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			c.t.Fatalf("reading a head: %v after %q", err, b.String())
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

// chunk reads one chunk; the last one is "".
func (c *client) chunk() string {
	c.t.Helper()
	s, err := c.tryChunk()
	if err != nil {
		c.t.Fatalf("reading a chunk: %v", err)
	}
	return s
}

func (c *client) tryChunk() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	var size int
	if _, err := fmt.Sscanf(line, "%x\r\n", &size); err != nil {
		return "", fmt.Errorf("chunk size %q: %w", line, err)
	}
	b := make([]byte, size+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return "", err
	}
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		return "", fmt.Errorf("chunk %q does not end with CRLF", b)
	}
	return string(b[:size]), nil
}

// expectEnd reads to the end of the connection and fails on any byte.
func (c *client) expectEnd() {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatalf("the connection stays open")
	}
	if len(b) > 0 {
		c.t.Fatalf("bytes before the end: %q", b)
	}
}

// subscribe opens a stream and reads its head.
func (s *testServer) subscribe(path string) *client {
	s.t.Helper()
	c := dial(s.t, s.front).get(path)
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		s.t.Fatalf("%s: %s", path, head)
	}
	return c
}
