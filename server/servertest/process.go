package servertest

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a server process of the test's.
type Process struct {
	*exec.Cmd
	Log   *Output       // its stderr
	Ended chan struct{} // closed when it has ended

	t testing.TB
}

// Command prepares a server. Of the environment only environ ("ICOMET_…=…") reaches
// its configuration.
func Command(t testing.TB, binary func() (string, error), environ []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "GODEBUG=" + os.Getenv("GODEBUG"), "GORACE=halt_on_error=1 atexit_sleep_ms=0",
	}, environ...)
	return cmd
}

// Limited is cmd behind a line of shell, such as "ulimit -n 300".
func Limited(cmd *exec.Cmd, ulimit string) *exec.Cmd {
	script := exec.Command("sh", append([]string{"-c", ulimit + ` && exec "$@"`, "sh"}, cmd.Args...)...)
	script.Env = cmd.Env
	return script
}

// Launch starts the command and kills it at the end of the test, which fails when it
// had a data race.
func Launch(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, Log: new(Output), Ended: make(chan struct{}), t: t}
	cmd.Stderr = p.Log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if log := p.Log.String(); strings.Contains(log, "DATA RACE") {
			t.Errorf("the server has a data race:\n%s", log)
		}
	})
	return p
}

// Kill ends it as kill -9 does.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended already
	<-p.Ended
}

// Send signals the process itself, not through a pidfile.
func (p *Process) Send(s syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// WaitLog waits until the log has the text this many times.
func (p *Process) WaitLog(text string, times int) {
	p.t.Helper()
	p.waitLog(text, func(log string) bool { return strings.Count(log, text) >= times })
}

func (p *Process) waitLog(what string, there func(log string) bool) {
	p.t.Helper()
	CheckFor(p.t, Patience, func() error {
		log := p.Log.String()
		if there(log) {
			return nil
		}
		select {
		case <-p.Ended:
			p.t.Fatalf("ended with status %d before %q was in the log:\n%s", p.ProcessState.ExitCode(), what, log)
		default:
		}
		return fmt.Errorf("%q is not in the log, or not often enough:\n%s", what, log)
	})
}

// WaitEnd waits until the process has ended, at most for limit, and wants its status.
func (p *Process) WaitEnd(limit time.Duration, status int) {
	p.t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(limit):
		p.t.Fatalf("has not ended within %v:\n%s", limit, p.Log)
	}
	if got := p.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("ended with %v, want status %d:\n%s", p.ProcessState, status, p.Log)
	}
}

// Address waits for the line that says where the role, front or admin, listens.
func (p *Process) Address(role string) (addr string) {
	p.t.Helper()
	p.waitLog("role="+role, func(log string) bool {
		addr = addressIn(log, role)
		return addr != ""
	})
	return addr
}

var addressLine = regexp.MustCompile(`msg=listening role=(front|admin) address=(127\.[0-9.]+:[1-9][0-9]*)(?: scheme=https)?\n`)

// addressIn finds where the role listens in a log; "" when it does not say.
func addressIn(log, role string) string {
	for _, m := range addressLine.FindAllStringSubmatch(log, -1) {
		if m[1] == role {
			return m[2]
		}
	}
	return ""
}

// Loopback is an address of this machine for the server that key names: a path that no
// other test has. Who still calls a server that has ended then meets nobody, and not a
// server of another test that was given the same port.
func Loopback(key string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	n := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 64+n>>16&127, n>>8&255, 1+n&127)
}
