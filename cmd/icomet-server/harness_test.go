package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// startLimit is how long a process may take for anything that should be quick.
const startLimit = servertest.Patience

// atOnce is how many parallel tests run at a time: most of a test is waiting.
const atOnce = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(atOnce); err != nil {
			panic(err)
		}
	}
	servertest.Main(m)
}

// lateness is how much later than it is due something may come. Only "make torture" has
// the machine for itself; beside other tests it may take any time that tests wait.
var lateness = func() time.Duration {
	if torture() {
		return 700 * time.Millisecond
	}
	return startLimit
}()

func torture() bool { return os.Getenv("ICOMET_TORTURE") == "full" }

// command prepares the server's binary. Its configuration sees only the environment that
// the test gives.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	return servertest.Command(t, servertest.Binary, environ, args...)
}

// underLimit prepares the binary behind a shell line that sets limits.
func underLimit(t *testing.T, ulimit string, lines ...string) *exec.Cmd {
	t.Helper()
	return servertest.Limited(command(t, nil, writeConfig(t, lines...)), ulimit)
}

// result is what a process has left when it has ended.
type result struct {
	status         int
	stdout, stderr string
}

// runToEnd runs the binary as a command that ends without being stopped.
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

// daemon is a running server.
type daemon struct{ *servertest.Process }

// start runs the binary and waits until both ports listen.
func start(t *testing.T, environ []string, args ...string) *daemon {
	t.Helper()
	d := launch(t, command(t, environ, args...))
	d.Address("admin") // logged last
	return d
}

// launch starts the command, and ends it with the test.
func launch(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	return &daemon{servertest.Launch(t, cmd)}
}

// checkAnswers checks that the front port answers.
func (d *daemon) checkAnswers(t *testing.T) {
	t.Helper()
	status, _, err := servertest.Get("http://" + d.Address("front") + "/ping")
	if err != nil || status != http.StatusOK {
		t.Fatalf("/ping: %d, %v", status, err)
	}
}

// checkFor calls try until it returns nil, for at most limit.
func checkFor(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	servertest.CheckFor(t, limit, try)
}

// ownAddress is an address that no other test gets before this one has ended.
func ownAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", redistest.Port(t))
}

// anyPorts lets the system choose both ports of the server that has the file at path.
func anyPorts(path string) string {
	host := servertest.Loopback(path)
	return fmt.Sprintf("front.listen = \"%s:0\"\nadmin.listen = \"%s:0\"\n", host, host)
}

// writeConfig writes a file that listens on any ports, plus the given lines.
func writeConfig(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	rewriteConfig(t, path, lines...)
	return path
}

func rewriteConfig(t *testing.T, path string, lines ...string) {
	t.Helper()
	text := anyPorts(path) + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewriteWhole writes a file of just these lines.
func rewriteWhole(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
