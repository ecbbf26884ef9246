package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"icomet/server/servertest"
)

// process is the built command in progress. It has a command's output.
type process struct {
	*command
	*os.Process
	stdin io.WriteCloser // stays open
	ended chan int       // has the exit status
}

// launch starts the built command with a server.
func launch(t *testing.T, s *servertest.Server, args ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return launchCommand(t, s, exec.Command(path, args...))
}

func launchCommand(t *testing.T, s *servertest.Server, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{command: &command{t: t, stdout: new(servertest.Output), stderr: new(servertest.Output)}, ended: make(chan int, 1)}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.Env = append(os.Environ(), frontVariable+"="+s.Front, adminVariable+"="+s.Admin)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Process, p.stdin = cmd.Process, stdin
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := cmd.Wait()
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			t.Error(err)
		}
		p.ended <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test has failed
		<-done
	})
	return p
}

// Signal sends a signal to the process.
func (p *process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the exit status.
func (p *process) end() int {
	p.t.Helper()
	select {
	case status := <-p.ended:
		return status
	case <-time.After(servertest.Patience):
		p.t.Fatalf("the process has not ended within %v: %s%s", servertest.Patience, p.stdout, p.stderr)
		return -1
	}
}
