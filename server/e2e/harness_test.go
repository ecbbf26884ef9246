package e2e

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

// patience is how long a test waits for something that has to happen.
const patience = servertest.Patience

// tickLength is the resolution of the server's timeouts.
const tickLength = 100 * time.Millisecond

// TestMain fails the run when servers or clients have left goroutines or
// descriptors behind.
func TestMain(m *testing.M) {
	limit := patience
	if kind := os.Getenv(leakVariable); kind != "" && kind != "none" {
		limit = time.Second // it will not pass
	}
	servertest.MainWithoutLeaks(m, limit)
}

// checkFor fails the test when f has not succeeded within limit.
func checkFor(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	servertest.CheckFor(t, limit, f)
}

// testServer is a running server on ports of its own.
type testServer struct {
	*server.Server
	t            testing.TB
	front, admin string // addresses
	hub          *channel.Hub
	reactor      *reactor.Reactor
	cfg          config.Config // the present one
	log          *servertest.Output
	ended        chan error // Run's result
}

// startServer runs a server with the defaults, on free ports, as changed by edit
// (nil: not at all). It is drained at the end of the test.
func startServer(t testing.TB, edit func(*config.Config)) *testServer {
	t.Helper()
	return startServerAs(t, edit, nil, nil)
}

// startServerAs says what is changed in the options, and done before Run.
func startServerAs(t testing.TB, edit func(*config.Config), options func(*server.Options), early func(*testServer)) *testServer {
	t.Helper()
	cfg := config.Default()
	cfg.Front.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Runtime.EventLoops = 2
	cfg.Limits.DrainTimeout = config.Duration(100 * time.Millisecond)
	if servertest.TLS() {
		secure := &cfg.Front.TLS
		secure.Certificates, secure.MinVersion = []string{servertest.Certificate()}, servertest.TLSVersion()
		cfg.Admin.TLS = cfg.Front.TLS
	}
	if edit != nil {
		edit(&cfg)
	}
	if len(cfg.Admin.Hosts) == 0 {
		cfg.Admin.Hosts = []string{"*"} // the clients here name all kinds of hosts
	}
	s := &testServer{t: t, cfg: cfg, log: new(servertest.Output), ended: make(chan error, 1)}
	o := server.Options{Config: cfg, Logger: slog.New(slog.NewTextHandler(s.log, nil)), CrashOnPanic: true}
	if options != nil {
		options(&o)
	}
	inner := o.Engine
	o.Engine = func(h *channel.Hub) (channel.Engine, error) {
		if s.hub = h; inner != nil {
			return inner(h)
		}
		return channel.NewMemory(h), nil
	}
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Server, s.reactor = srv, srv.Reactor()
	if early != nil {
		early(s)
	}
	go func() { s.ended <- srv.Run() }()
	t.Cleanup(s.stop)
	select {
	case <-srv.Ready():
	case err := <-s.ended:
		s.ended <- err
		t.Fatalf("the server ended at once: %v\n%s", err, s.log)
	case <-time.After(patience):
		t.Fatalf("the server does not start\n%s", s.log)
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

// client is a raw connection whose failures are the test's.
type client struct {
	*servertest.Conn
	t testing.TB
}

// newClient takes the result of a dial; the connection ends with the test.
func newClient(t testing.TB, c *servertest.Conn, err error) *client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: t}
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := servertest.Dial(addr)
	return newClient(t, c, err)
}

// dialPlain connects without TLS, whatever the run is over.
func dialPlain(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, servertest.NewPlain(nc), nil)
}

// secure goes on over TLS, if the run is.
func (c *client) secure() *client {
	c.t.Helper()
	if err := c.Secure(); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// behind connects as a proxy does: header goes in front of all, over TLS in front of the hello.
func behind(t testing.TB, addr, header string) *client {
	t.Helper()
	c := dialPlain(t, addr)
	c.Precede(header)
	return c.secure()
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
	status, body, err := c.Answer()
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	return status, body
}

// head reads up to the empty line and returns it.
func (c *client) head() string {
	c.t.Helper()
	head, err := c.Head()
	if err != nil {
		c.t.Fatalf("reading a head: %v after %q", err, head)
	}
	return head
}

// chunk reads one chunk; the last one is "".
func (c *client) chunk() string {
	c.t.Helper()
	s, err := c.Chunk()
	if err != nil {
		c.t.Fatalf("reading a chunk: %v", err)
	}
	return s
}

// expectEnd reads to the end of the connection and fails on any byte.
func (c *client) expectEnd() {
	c.t.Helper()
	if err := c.ExpectEnd(); err != nil {
		c.t.Fatal(err)
	}
}

// subscribe opens an endless response and reads what comes before the messages.
func (s *testServer) subscribe(path string) *client {
	s.t.Helper()
	c := dial(s.t, s.front).get(path)
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		s.t.Fatalf("%s: %s", path, head)
	}
	if strings.HasPrefix(path, "/sse") || strings.HasPrefix(path, "/iframe") {
		c.chunk()
	}
	return c
}
