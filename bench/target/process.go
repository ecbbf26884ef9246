//go:build linux

package target

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"icomet/bench/procstat"
	"icomet/bench/protocol"
)

// environment is that of a started server: free ports, no heartbeats while latency is
// measured, and a quick end. extra comes last and wins.
func environment(extra []string) []string {
	return append(append(os.Environ(),
		"ICOMET_FRONT_LISTEN=127.0.0.1:0",
		"ICOMET_ADMIN_LISTEN=127.0.0.1:0",
		"ICOMET_LOGGER_LEVEL=info",
		"ICOMET_LOGGER_OUTPUT=stderr",
		"ICOMET_LOGGER_FORMAT=text",
		"ICOMET_FRONT_POLLING_TIMEOUT=300",
		"ICOMET_LIMITS_DRAIN_TIMEOUT=1s",
	), extra...)
}

// launch starts a server process and waits until it has logged both addresses. Where d is ""
// the log says what it speaks (dialect=…), or it is iComet's.
func launch(ctx context.Context, argv, env []string, d protocol.Dialect) (*Server, error) {
	s, err := spawn(exec.Command(argv[0], argv[1:]...), environment(env))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var n Node
	for n.Front == "" || n.Admin == "" {
		select {
		case role := <-s.log.listening:
			address := strings.Replace(role.address, "0.0.0.0:", "127.0.0.1:", 1)
			if d == "" {
				d = role.dialect
			}
			if role.name == "front" {
				n.Front = address
			} else {
				n.Admin = address
			}
		case <-s.Died:
			return nil, fmt.Errorf("%s ended before it listened; its log ends with:\n%s", argv[0], s.log)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s did not log its addresses (msg=listening role=front|admin address=…) in %s; its log ends with:\n%s", argv[0], startTimeout, s.log), s.Stop())
		}
	}
	if s.Dialect, err = protocol.ParseDialect(string(d)); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	n.PID = s.Processes[0]
	s.Nodes = []Node{n}
	return s, nil
}

// spawn starts a process that ends when this one ends, and follows its stderr.
func spawn(cmd *exec.Cmd, env []string) (*Server, error) {
	died := make(chan struct{})
	s := &Server{Started: true, within: stopTimeout, Died: died, log: &tail{listening: make(chan listening, 64)}}
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		// Pdeathsig follows the thread that forked, so this one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.log.follow(stderr)
			_ = cmd.Wait() // how it ended matters only when it was early, and then the log says more
			close(died)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.Processes = procstat.Of(cmd.Process.Pid)
	s.end = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-s.Died:
			return nil
		case <-time.After(s.within):
			_ = cmd.Process.Kill()
			<-s.Died
			return fmt.Errorf("%s did not end within %s of SIGTERM and was killed; its log ends with:\n%s", cmd.Path, s.within, s.log)
		}
	}
	return s, nil
}

// listening is what a server logs about one of its addresses.
type listening struct {
	name, address string
	dialect       protocol.Dialect // "" where it does not say
}

// tail keeps the last lines of a server's log and finds its addresses in them. follow runs
// on a goroutine of its own; mu guards lines.
type tail struct {
	listening chan listening
	mu        sync.Mutex
	lines     []string
}

func (l *tail) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		l.mu.Lock()
		l.lines = append(l.lines[max(0, len(l.lines)-19):], line)
		l.mu.Unlock()
		if found, ok := parseListening(line); ok {
			select {
			case l.listening <- found:
			default: // a server may log one listener for each loop: the first ones suffice
			}
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line that is too long: the server must not block
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func parseListening(line string) (listening, bool) {
	var found listening
	is := false
	for _, field := range strings.Fields(line) {
		key, value, _ := strings.Cut(field, "=")
		value = strings.Trim(value, `"`)
		switch key {
		case "msg":
			is = value == "listening"
		case "role":
			found.name = value
		case "address":
			found.address = value
		case "dialect":
			found.dialect = protocol.Dialect(value)
		}
	}
	return found, is && (found.name == "front" || found.name == "admin") && found.address != ""
}
