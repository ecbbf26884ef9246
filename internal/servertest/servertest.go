// Package servertest runs the server as a process of its own, for tests of what
// talks to it: the browser client, the Go client, the command line, the examples.
package servertest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for something that has to happen.
const Patience = 30 * time.Second

// Server is a running icomet-server on ports that the system picked.
type Server struct {
	Front, Admin string // http://host:port, kept over a Restart

	t       testing.TB
	environ []string
	log     *logBuffer
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

var (
	addressLine = regexp.MustCompile(`msg=listening role=(front|admin) address=(\S+)`)
	build       = sync.OnceValues(buildServer)
)

// buildDir is where the server is built, once Start has been called.
var buildDir string

func buildServer() (string, error) {
	dir, err := os.MkdirTemp("", "icomet-servertest-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	return Build(filepath.Join(dir, "icomet-server"), "icomet/cmd/icomet-server")
}

// Build builds a command into path, with the race detector when the test has it.
func Build(path, pkg string) (string, error) {
	args := []string{"build", "-o", path}
	if raceEnabled() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// Main runs the tests of a package and removes the built server.
func Main(m *testing.M) {
	status := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(status)
}

// Start runs a server with the defaults as changed by environ ("ICOMET_…=…"). It
// is killed at the end of the test.
func Start(t testing.TB, environ ...string) *Server {
	t.Helper()
	s := &Server{t: t, environ: append(environ, "ICOMET_LIMITS_DRAIN_TIMEOUT=100ms")}
	s.start("127.0.0.1:0", "127.0.0.1:0")
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) start(front, admin string) {
	s.t.Helper()
	path, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(path)
	s.cmd.Env = append([]string{
		"ICOMET_FRONT_LISTEN=" + front, "ICOMET_ADMIN_LISTEN=" + admin,
		"GORACE=halt_on_error=1 atexit_sleep_ms=0",
	}, s.environ...)
	s.log = new(logBuffer)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}(s.cmd)
	s.CheckFor(Patience, func() error {
		found := addressLine.FindAllStringSubmatch(s.log.String(), -1)
		if len(found) == 2 {
			if s.Front == "" { // later they stay, and others may be reading them
				addresses := map[string]string{found[0][1]: found[0][2], found[1][1]: found[1][2]}
				s.Front, s.Admin = "http://"+addresses["front"], "http://"+addresses["admin"]
			}
			return nil
		}
		select {
		case <-ended:
			s.t.Fatalf("the server ended at once:\n%s", s.log)
		default:
		}
		return fmt.Errorf("no listeners in the log:\n%s", s.log)
	})
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() { s.signal(os.Kill) }

// Stop drains the server.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	_ = s.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-s.ended:
	case <-time.After(Patience):
		s.t.Errorf("the server does not end:\n%s", s.log)
	}
	if strings.Contains(s.log.String(), "DATA RACE") {
		s.t.Errorf("the server has a data race:\n%s", s.log)
	}
}

// Restart starts the server again, on the same ports, after Kill or Stop.
func (s *Server) Restart() {
	s.t.Helper()
	s.start(strings.TrimPrefix(s.Front, "http://"), strings.TrimPrefix(s.Admin, "http://"))
}

// Call makes an admin request with a form; another status than 200 fails the test.
func (s *Server) Call(path string, pairs ...string) string {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	c := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.PostForm(s.Admin+path, form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("POST %s: %d %s %v", path, resp.StatusCode, body, err)
	}
	return string(body)
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

// CheckFor fails the test when f has not succeeded within limit.
func CheckFor(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: %v", limit, err)
		}
	}
}

// logBuffer is written by the process and read by the test.
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
