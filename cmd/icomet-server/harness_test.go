package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// startLimit is how long a process may take for anything that is quick. It is
// generous, for machines that are busy with other tests.
const startLimit = 30 * time.Second

// binaryDir is where the server is built, once, by the first test that wants it.
var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "icomet-server-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

var buildBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "icomet-server")
	args := []string{"build", "-o", path}
	if raceEnabled() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// raceEnabled says whether this test runs with the race detector; then the
// server is built with it too.
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

// command prepares the server's binary. Of the environment only what the test
// gives reaches its configuration.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

// result is what a process that has ended leaves.
type result struct {
	status         int
	stdout, stderr string
}

// runToEnd runs the binary as a command that ends by itself.
func runToEnd(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	cmd := command(t, environ, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A server that started by mistake must not hang the tests.
	timer := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// daemon is a server that runs.
type daemon struct {
	*exec.Cmd
	log  *safeBuffer   // its stderr
	done chan struct{} // closed when it has ended
}

// start runs the binary and waits until both ports listen.
func start(t *testing.T, environ []string, args ...string) *daemon {
	t.Helper()
	d := launch(t, command(t, environ, args...))
	d.waitForLog(t, "role=front", 1)
	d.waitForLog(t, "role=admin", 1)
	return d
}

// launch starts the command and sees to its end with the test's.
func launch(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{Cmd: cmd, log: &safeBuffer{}, done: make(chan struct{})}
	cmd.Stderr = d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-d.done
		if strings.Contains(d.log.String(), "DATA RACE") {
			t.Errorf("the server has a data race:\n%s", d.log)
		}
	})
	return d
}

// send signals the process itself, not through a pidfile.
func (d *daemon) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// waitForLog waits until the log has the text this many times.
func (d *daemon) waitForLog(t *testing.T, text string, times int) {
	t.Helper()
	checkFor(t, startLimit, func() error {
		log := d.log.String()
		if strings.Count(log, text) >= times {
			return nil
		}
		select {
		case <-d.done:
			t.Fatalf("ended with status %d before %q was in the log:\n%s", d.ProcessState.ExitCode(), text, log)
		default:
		}
		return fmt.Errorf("%q is not %d times in the log:\n%s", text, times, log)
	})
}

// waitForEnd waits until the process has ended and wants its status.
func (d *daemon) waitForEnd(t *testing.T, status int) {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(startLimit):
		t.Fatalf("has not ended:\n%s", d.log)
	}
	if got := d.ProcessState.ExitCode(); got != status {
		t.Fatalf("ended with %v, want status %d:\n%s", d.ProcessState, status, d.log)
	}
}

// address finds where the role listens in the log.
func (d *daemon) address(t *testing.T, role string) string {
	t.Helper()
	return addressIn(t, d.log.String(), role)
}

func addressIn(t *testing.T, log, role string) string {
	t.Helper()
	m := regexp.MustCompile(`msg=listening role=` + role + ` address=(127\.0\.0\.1:[1-9][0-9]*)`).FindStringSubmatch(log)
	if m == nil {
		t.Fatalf("no line of the %s listener:\n%s", role, log)
	}
	return m[1]
}

// checkAnswers wants an answer from the front port.
func (d *daemon) checkAnswers(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + d.address(t, "front") + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("/ping: %s, %v", response.Status, err)
	}
}

// checkFor tries until there is no error, at most for the limit.
func checkFor(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// safeBuffer can be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// anyPorts lets the system pick both ports.
const anyPorts = "front.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n"

// writeConfig writes a file that listens on any ports, plus the given lines.
func writeConfig(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	rewriteConfig(t, path, lines...)
	return path
}

func rewriteConfig(t *testing.T, path string, lines ...string) {
	t.Helper()
	text := anyPorts + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
