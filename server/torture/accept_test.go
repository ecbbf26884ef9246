package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
)

// failing is how long accept fails.
var failing = sized(time.Second, 2*time.Second)

// TestAcceptFails lets accept fail in every way that there is, once and for a while.
// Who is connected does not notice, newcomers are served when it is over, the server does
// not run hot, and the log gets a line a second at most.
func TestAcceptFails(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	d := start(t, servertest.PlainBinary, "")
	p := d.newProbe()
	p.runFor(t, 0) // its connection is there
	for _, errno := range []string{"EPROTO", "ENFILE", "EMFILE", "ENOBUFS", "ENOMEM", "EPERM", "EOPNOTSUPP", "ENOSR", "EINVAL"} {
		t.Run(errno+" once", func(t *testing.T) {
			tries := d.strace(t, errno, ":when=1", func() { p.meetsNewcomer(t) })
			if n := tries(); n < 1 || n > 16 { // strace counts "once" for each thread
				t.Errorf("accept has failed %d times", n)
			}
		})
		t.Run(errno, func(t *testing.T) {
			lines := strings.Count(d.Log.String(), "accepting a connection has failed")
			var newcomer chan error
			tries := d.strace(t, errno, "", func() {
				newcomer = p.newcomer()
				p.runFor(t, failing)
			})
			if err := <-newcomer; err != nil {
				t.Errorf("who came while accept failed: %v", err)
			}
			p.meetsNewcomer(t)
			if n := tries(); n == 0 || n > 500 {
				t.Errorf("accept was called %d times in %v", n, failing)
			}
			if lines = strings.Count(d.Log.String(), "accepting a connection has failed") - lines; lines > 4 {
				t.Errorf("%d log lines in %v", lines, failing)
			}
		})
	}
}

// TestNoDescriptorIsLeft takes the limit of open files away from under a running server.
func TestNoDescriptorIsLeft(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.Binary, "")
	p := d.newProbe()
	p.runFor(t, 0) // its connection is there
	var old unix.Rlimit
	pid := d.Cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	newcomer := p.newcomer()
	d.WaitLog("too many open files", 1)
	p.runFor(t, failing)
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-newcomer; err != nil {
		t.Error(err)
	}
}

// strace has accept fail while during runs, as "-e inject" of strace says it. tries then
// counts how often it did.
func (d *daemon) strace(t *testing.T, errno, when string, during func()) (tries func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-o", file, "-p", fmt.Sprint(d.Cmd.Process.Pid),
		"-e", "trace=accept4", "-e", "inject=accept4:error="+errno+when)
	out := new(servertest.Output)
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	checkFor(t, patience, func() error {
		if strings.Contains(out.String(), "Operation not permitted") {
			t.Skip("strace may not trace here")
		}
		if !strings.Contains(out.String(), "attached") {
			return errors.New(out.String())
		}
		return nil
	})
	during()
	_ = cmd.Process.Signal(syscall.SIGINT)
	<-ended
	return func() int {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "(INJECTED)")
	}
}

// threads says of each thread of the server what it does: its state, who traces it, and what
// it waits for in the kernel.
func (d *daemon) threads() string {
	var b strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", d.Cmd.Process.Pid))
	for _, task := range tasks {
		status, _ := os.ReadFile(filepath.Join(task, "status"))
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "State:") || strings.HasPrefix(line, "TracerPid:") {
				b.WriteString(strings.TrimSpace(line) + " ")
			}
		}
		wchan, _ := os.ReadFile(filepath.Join(task, "wchan"))
		call, _ := os.ReadFile(filepath.Join(task, "syscall"))
		fmt.Fprintf(&b, "wchan %s syscall %s\n", wchan, strings.TrimSpace(string(call)))
	}
	return b.String()
}

// newcomer connects and asks; the channel gets how that has ended.
func (p *probe) newcomer() chan error {
	came := make(chan error, 1)
	go func() {
		status, body, err := servertest.Get("http://" + p.d.front + "/ping?cb=")
		if err == nil && status != 200 {
			err = fmt.Errorf("%d %s", status, body)
		}
		came <- err
	}()
	return came
}

func (p *probe) meetsNewcomer(t *testing.T) {
	t.Helper()
	if err := <-p.newcomer(); err != nil {
		t.Errorf("a newcomer: %v", err)
	}
}

// runFor has the healthy channel at work for d.
func (p *probe) runFor(t *testing.T, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	if _, err := p.run(func(n int) bool { return n > 0 && time.Now().After(end) }); err != nil {
		t.Fatalf("who is connected: %v\nthe server's threads:\n%s", err, p.d.threads())
	}
}
