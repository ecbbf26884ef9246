package systemd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestProcess: what a service manager gets from the server itself.
func TestProcess(t *testing.T) {
	t.Parallel()
	m, path := listen(t)
	config := filepath.Join(t.TempDir(), "config.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte("front.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	p := servertest.Launch(t, servertest.Command(t, servertest.Binary, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}, config))
	m.until("READY=1")
	status, body, err := servertest.Get("http://" + p.Address("admin") + "/readyz")
	if err != nil || status != 200 {
		t.Errorf("READY=1, and /readyz is %d %s %v", status, body, err)
	}
	if status, _, err = servertest.Get("http://" + p.Address("front") + "/ping"); err != nil || status != 200 {
		t.Errorf("READY=1, and /ping is %d %v", status, err)
	}
	m.until("WATCHDOG=1")
	m.until("WATCHDOG=1")

	before := monotonic(t)
	write("limits.drain_delay = \"1s\"\nlimits.drain_timeout = \"3s\"\n")
	p.Send(syscall.SIGHUP)
	reloading := last(m.until("RELOADING=1"))
	if at := value(t, reloading, "MONOTONIC_USEC="); at < before || at > monotonic(t) {
		t.Errorf("%q, but the signal was sent after %d", reloading, before)
	}
	m.until("READY=1")

	write("front.auth = \"yes\"\n")
	p.Send(syscall.SIGHUP)
	m.until("RELOADING=1")
	if done := last(m.until("READY=1")); !strings.Contains(done[1], "the last reload changed nothing: "+config) {
		t.Errorf("after a bad reload: %q", done)
	}

	p.Send(syscall.SIGTERM)
	stopping := last(m.until("STOPPING=1"))
	if limit := value(t, stopping, "EXTEND_TIMEOUT_USEC="); limit != 9_000_000 { // delay, timeout, reserve
		t.Errorf("got %q", stopping)
	}
	p.WaitEnd(servertest.Patience, 0)
}

func last(all [][]string) []string { return all[len(all)-1] }

func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// value is the number behind the name in a message.
func value(t *testing.T, message []string, name string) int64 {
	t.Helper()
	for _, line := range message {
		if text, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %q", name, message)
	return 0
}
