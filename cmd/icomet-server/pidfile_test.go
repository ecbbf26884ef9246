package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withPidfile writes a configuration with a pidfile next to it.
func withPidfile(t *testing.T, lines ...string) (config, pidfile string) {
	t.Helper()
	pidfile = filepath.Join(t.TempDir(), "icomet.pid")
	return writeConfig(t, append(lines, fmt.Sprintf("pidfile = %q", pidfile))...), pidfile
}

func checkPidfile(t *testing.T, pidfile string, pid int) {
	t.Helper()
	content, err := os.ReadFile(pidfile)
	if err != nil || string(content) != strconv.Itoa(pid)+"\n" {
		t.Fatalf("the pidfile holds %q, %v, want %d", content, err, pid)
	}
}

func checkNoPidfile(t *testing.T, pidfile string) {
	t.Helper()
	if _, err := os.Stat(pidfile); !os.IsNotExist(err) {
		t.Fatalf("the pidfile is still there: %v", err)
	}
}

func TestPidfileLife(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	d := start(t, nil, config)
	checkPidfile(t, pidfile, d.Cmd.Process.Pid)
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
	checkNoPidfile(t, pidfile)
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	d := start(t, nil, config)
	r := runToEnd(t, nil, config)
	want := fmt.Sprintf("icomet-server: pidfile: %s: a server is running with it, process %d\n", pidfile, d.Cmd.Process.Pid)
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
	checkPidfile(t, pidfile, d.Cmd.Process.Pid)
	d.checkAnswers(t)
}

func TestStartAfterKill(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	for range 3 {
		d := start(t, nil, config)
		checkPidfile(t, pidfile, d.Cmd.Process.Pid)
		d.Send(syscall.SIGKILL)
		d.WaitEnd(startLimit, -1)
		checkPidfile(t, pidfile, d.Cmd.Process.Pid)
	}
}

// TestKillAtAnyMoment kills servers at moments spread over their start; after that a
// server must be able to start.
func TestKillAtAnyMoment(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	for moment := range 12 {
		d := launch(t, command(t, nil, config))
		// Not a wait for a condition: the moment itself is tested.
		timer := time.NewTimer(time.Duration(moment*moment) * time.Millisecond)
		<-timer.C
		d.Send(syscall.SIGKILL)
		d.WaitEnd(startLimit, -1)
	}
	d := start(t, nil, config)
	checkPidfile(t, pidfile, d.Cmd.Process.Pid)
}

// TestReusedProcessID: the pidfile names a process that is not a server.
func TestReusedProcessID(t *testing.T) {
	t.Parallel()
	bystander := exec.Command("sleep", "600")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		bystander.Wait()
		close(ended)
	}()
	defer func() {
		bystander.Process.Kill()
		<-ended
	}()
	config, pidfile := withPidfile(t)
	stale := strconv.Itoa(bystander.Process.Pid) + "\n"
	if err := os.WriteFile(pidfile, []byte(stale), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"stop", "restart", "reload", "reopen"} {
		r := runToEnd(t, nil, "-s", action, config)
		want := fmt.Sprintf("icomet-server: -s %s: no server is running with pidfile %s (it was left over)\n", action, pidfile)
		if r.status != 1 || r.stderr != want {
			t.Errorf("%s: got %+v, want %s", action, r, want)
		}
	}
	d := start(t, nil, config)
	checkPidfile(t, pidfile, d.Cmd.Process.Pid)
	d.Send(syscall.SIGTERM)
	d.WaitEnd(startLimit, 0)
	// By now a process that was signalled would have ended.
	select {
	case <-ended:
		t.Errorf("the bystander got a signal: %v", bystander.ProcessState)
	default:
	}
}

func TestEmptyPidfileIsStale(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	if err := os.WriteFile(pidfile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := start(t, nil, config)
	checkPidfile(t, pidfile, d.Cmd.Process.Pid)
}

// TestPidfileThatIsSomethingElse: the file must not be overwritten or removed.
func TestPidfileThatIsSomethingElse(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"precious\n", strings.Repeat("1", 33)} {
		config, pidfile := withPidfile(t)
		if err := os.WriteFile(pidfile, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		r := runToEnd(t, nil, config)
		want := fmt.Sprintf("icomet-server: pidfile: %s: holds something else than a process id, so it is left alone\n", pidfile)
		if r.status != 1 || r.stderr != want {
			t.Errorf("got %+v, want %s", r, want)
		}
		if got, err := os.ReadFile(pidfile); err != nil || string(got) != content {
			t.Errorf("now holds %q, %v", got, err)
		}
	}
}

func TestPidfileThatCannotBeMade(t *testing.T) {
	t.Parallel()
	pidfile := filepath.Join(t.TempDir(), "missing", "pid")
	r := runToEnd(t, []string{"ICOMET_PIDFILE=" + pidfile}, writeConfig(t))
	want := "icomet-server: pidfile: open " + pidfile + ": no such file or directory\n"
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
}

// TestPidfileOfAnother: a server whose file was replaced does not remove the new one.
func TestPidfileOfAnother(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	first := start(t, nil, config)
	if err := os.Remove(pidfile); err != nil {
		t.Fatal(err)
	}
	second := start(t, nil, config)
	first.Send(syscall.SIGTERM)
	first.WaitEnd(startLimit, 0)
	checkPidfile(t, pidfile, second.Cmd.Process.Pid)
}

func TestSignalWithoutServer(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	for _, action := range []string{"stop", "restart", "reload", "reopen"} {
		r := runToEnd(t, nil, "-s", action)
		want := fmt.Sprintf("icomet-server: -s %s: no pidfile is configured\n", action)
		if r.status != 1 || r.stderr != want {
			t.Errorf("got %+v, want %s", r, want)
		}
		r = runToEnd(t, nil, "-s", action, config)
		want = fmt.Sprintf("icomet-server: -s %s: no server is running: there is no pidfile %s\n", action, pidfile)
		if r.status != 1 || r.stderr != want {
			t.Errorf("got %+v, want %s", r, want)
		}
		checkNoPidfile(t, pidfile)
	}
}

// TestStop: when the command ends, the process has ended.
func TestStop(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	d := start(t, nil, config)
	if r := runToEnd(t, nil, "-s", "stop", config); r != (result{}) {
		t.Fatalf("got %+v", r)
	}
	checkNoPidfile(t, pidfile)
	d.WaitEnd(startLimit, 0)
}

// TestStopGivesUp: the server is frozen, so it cannot end.
func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	config, _ := withPidfile(t, `limits.drain_timeout = "100ms"`)
	d := start(t, nil, config)
	d.Send(syscall.SIGSTOP)
	r := runToEnd(t, nil, "-s", "stop", config)
	want := fmt.Sprintf("icomet-server: -s stop: process %d: has not ended within 5.1s\n", d.Cmd.Process.Pid)
	if r.status != 1 || r.stderr != want {
		t.Errorf("got %+v, want %s", r, want)
	}
	d.Send(syscall.SIGCONT)
	d.WaitEnd(startLimit, 0)
}

// TestRestart keeps the ports: the second server can listen on them only when the first
// has ended.
func TestRestart(t *testing.T) {
	t.Parallel()
	config, pidfile := withPidfile(t)
	ports := []string{"ICOMET_FRONT_LISTEN=" + ownAddress(t), "ICOMET_ADMIN_LISTEN=" + ownAddress(t)}
	first := start(t, ports, config)
	for range 5 {
		second := start(t, ports, "-s", "restart", config)
		first.WaitEnd(startLimit, 0)
		checkPidfile(t, pidfile, second.Cmd.Process.Pid)
		second.checkAnswers(t)
		first = second
	}
}
