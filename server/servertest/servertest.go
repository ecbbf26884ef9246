// Package servertest is what tests of the server and of what talks to it share: the
// server as a process of its own, connections with deadlines, waiting for a condition.
// It does not import the server, so that the server's own tests can use it.
package servertest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
)

// Server is a running icomet-server on ports that the system picked.
type Server struct {
	*Process            // its present life; the test's goroutine alone uses it
	Front, Admin string // the roots' URLs, kept over a Restart

	t       testing.TB // calls may come from a website's goroutine during a Restart
	environ []string
	args    []string
	client  *http.Client // for Call
	scheme  string
}

// Start runs a server with the defaults as changed by environ ("ICOMET_…=…"). It
// is killed at the end of the test.
func Start(t testing.TB, environ ...string) *Server {
	t.Helper()
	return start(t, nil, environ)
}

// StartTLS is like Start, but over TLS in every run, also of 1.2. Clients have to trust
// AuthorityFile (see Trusting).
func StartTLS(t testing.TB, environ ...string) *Server {
	t.Helper()
	return startAs(t, "https://", secureClient(), nil, append(certificates("1.2"), environ...))
}

// StartWith runs a server with a configuration file, which environ wins over.
func StartWith(t testing.TB, config string, environ ...string) *Server {
	t.Helper()
	return start(t, []string{config}, environ)
}

func start(t testing.TB, args, environ []string) *Server {
	t.Helper()
	return startAs(t, URL(""), &lone, args, append(tlsEnviron(), environ...))
}

func startAs(t testing.TB, scheme string, client *http.Client, args, environ []string) *Server {
	t.Helper()
	s := &Server{t: t, args: args, scheme: scheme, client: client, environ: append(environ, "ICOMET_LIMITS_DRAIN_TIMEOUT=100ms")}
	// Ports of the test's own, so that nobody takes them during a Restart.
	s.launch(t, fmt.Sprint("127.0.0.1:", redistest.Port(t)), fmt.Sprint("127.0.0.1:", redistest.Port(t)))
	s.Front, s.Admin = s.scheme+s.Address("front"), s.scheme+s.Address("admin")
	return s
}

func (s *Server) launch(t testing.TB, front, admin string) {
	t.Helper()
	listen := []string{"ICOMET_FRONT_LISTEN=" + front, "ICOMET_ADMIN_LISTEN=" + admin}
	s.Process = Launch(t, Command(t, Binary, append(listen, s.environ...), s.args...))
}

// Reload has the server read its configuration file again.
func (s *Server) Reload() {
	s.t.Helper()
	const done = "msg=\"configuration reloaded\""
	before := strings.Count(s.Log.String(), done)
	s.Send(syscall.SIGHUP)
	s.WaitLog(done, before+1)
}

// Stop drains the server.
func (s *Server) Stop() {
	s.t.Helper()
	s.Send(syscall.SIGTERM)
	s.WaitEnd(Patience, 0)
}

// Restart starts the server again, on the same ports, after Kill or Stop.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch(s.t, HostPort(s.Front), HostPort(s.Admin))
	s.Address("admin") // logged last
}

// Call makes an admin request with a form; another status than 200 fails the test.
func (s *Server) Call(path string, pairs ...string) string {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	status, body, err := ReadAnswer(s.client.PostForm(s.Admin+path, form))
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("POST %s: %d %s %v", path, status, body, err)
	}
	return body
}

// Push publishes raw text.
func (s *Server) Push(cname, content string) {
	s.t.Helper()
	s.Call("/push", "cname", cname, "content", content)
}

// WaitSubscribers waits until the channel has exactly n.
func (s *Server) WaitSubscribers(cname string, n int) {
	s.t.Helper()
	want := fmt.Sprintf("\"subscribers\": %d}", n)
	s.CheckFor(Patience, func() error {
		if got := s.Call("/info", "cname", cname); !strings.Contains(got, want) {
			return fmt.Errorf("%s, want %d subscribers", got, n)
		}
		return nil
	})
}

// CheckFor fails the test when f has not succeeded within limit.
func (s *Server) CheckFor(limit time.Duration, f func() error) {
	s.t.Helper()
	CheckFor(s.t, limit, f)
}
