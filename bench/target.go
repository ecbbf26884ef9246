//go:build linux

package bench

import (
	"bufio"
	"context"
	_ "embed" // the ceiling's source
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Target says which server is measured: one that the harness starts and stops
// (Command), or one that runs already (Running). Either may have several nodes that
// share their channels: subscribers and publishers are spread over them.
type Target struct {
	Command string   // "ceiling", "nchan", or a command line, split at spaces
	Nodes   int      // how many of Command are started; 0 is one
	Env     []string // K=V, before the harness's own and the process's environment
	Running []Node
	Store   int // process id of the store that the nodes share, for its figures; 0: none
	Dialect Dialect
}

// Node is one server process. The load's subscribers and publishers need not be of the
// same one: Front and Admin may be of two.
type Node struct {
	Front string
	Admin string
	PID   int // 0: its memory and CPU are not known
}

// Names that Command takes for the servers that the harness brings along.
const (
	Ceiling = "ceiling"
	Nchan   = "nchan"
)

// server is a target that listens.
type server struct {
	nodes   []Node
	process process // of all nodes
	store   process
	dialect Dialect
	started bool          // by us: it was fresh
	died    chan struct{} // closed when a started process has ended
	stop    func() error
	within  time.Duration // stop's time, then it is killed
	log     *tail         // of the one that has ended, once died is closed
}

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second // until a started server is killed, by how many stop at once
)

// start makes the target listen.
func (t Target) start(ctx context.Context) (s *server, err error) {
	defer func() {
		if s != nil {
			s.store = processOf(t.Store)
		}
	}()
	if t.Nodes > 1 {
		return t.startNodes(ctx)
	}
	switch t.Command {
	case "":
		return t.attach()
	case Ceiling:
		return startCeiling(ctx, t.Env)
	case Nchan:
		return startNchan(ctx)
	}
	return launch(ctx, strings.Fields(t.Command), t.Env, t.Dialect)
}

func (t Target) attach() (*server, error) {
	var pids []int
	for _, n := range t.Running {
		for _, a := range []string{n.Front, n.Admin} {
			if _, err := CheckLoopback(a); err != nil {
				return nil, err
			}
		}
		pids = append(pids, n.PID)
	}
	d := t.Dialect
	if d == "" {
		d = DialectIcomet
	}
	return &server{nodes: t.Running, process: processOf(pids...), dialect: d, died: make(chan struct{}),
		stop: func() error { return nil }, log: &tail{}}, nil
}

// startNodes starts several of Command, which find each other by what Env says, and
// makes one server of them.
func (t Target) startNodes(ctx context.Context) (*server, error) {
	all := &server{started: true, died: make(chan struct{}), log: &tail{}}
	var parts []*server
	all.stop = func() error {
		errs := make([]error, len(parts))
		var stopping sync.WaitGroup
		for i, s := range parts {
			stopping.Go(func() { errs[i] = s.stop() })
		}
		stopping.Wait()
		return errors.Join(errs...)
	}
	var first sync.Once
	for range t.Nodes {
		s, err := launch(ctx, strings.Fields(t.Command), t.Env, t.Dialect)
		if err != nil {
			return nil, errors.Join(err, all.stop())
		}
		s.within *= time.Duration(t.Nodes)
		parts = append(parts, s)
		all.dialect, all.nodes = s.dialect, append(all.nodes, s.nodes...)
		all.process = append(all.process, s.process...)
		go func() {
			<-s.died
			first.Do(func() {
				all.log = s.log
				close(all.died)
			})
		}()
	}
	return all, nil
}

// environment is what a started server gets: free ports, no heartbeats while
// latency is measured, and a quick end. The user's -env comes last and wins.
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

// launch starts a server process and waits until it has logged both addresses.
func launch(ctx context.Context, argv, env []string, d Dialect) (*server, error) {
	if d == "" {
		d = DialectIcomet
	}
	s, err := spawn(exec.Command(argv[0], argv[1:]...), environment(env))
	if err != nil {
		return nil, err
	}
	s.dialect = d
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var n Node
	for n.Front == "" || n.Admin == "" {
		select {
		case role := <-s.log.listening:
			address := strings.Replace(role.address, "0.0.0.0:", "127.0.0.1:", 1)
			if role.name == "front" {
				n.Front = address
			} else {
				n.Admin = address
			}
		case <-s.died:
			return nil, fmt.Errorf("%s ended before it listened; its log ends with:\n%s", argv[0], s.log)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s did not log its addresses (msg=listening role=front|admin address=…) in %s; its log ends with:\n%s", argv[0], startTimeout, s.log), s.stop())
		}
	}
	n.PID = s.process[0]
	s.nodes = []Node{n}
	return s, nil
}

// spawn starts a process that ends when we end, and follows its stderr.
func spawn(cmd *exec.Cmd, env []string) (*server, error) {
	s := &server{started: true, within: stopTimeout, died: make(chan struct{}), log: &tail{listening: make(chan listening, 64)}}
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
			_ = cmd.Wait() // how it ended is only of interest when it was early, and the log tells more
			close(s.died)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.process = processOf(cmd.Process.Pid)
	s.stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-s.died:
			return nil
		case <-time.After(s.within):
			_ = cmd.Process.Kill()
			<-s.died
			return fmt.Errorf("%s did not end within %s of SIGTERM and was killed; its log ends with:\n%s", cmd.Path, s.within, s.log)
		}
	}
	return s, nil
}

type listening struct{ name, address string }

// tail keeps the end of a server's log and picks its addresses out of it.
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
			default: // one listener a loop may be logged: the first ones suffice
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
		}
	}
	return found, is && (found.name == "front" || found.name == "admin") && found.address != ""
}

//go:embed ceiling.c
var ceilingSource []byte

// startCeiling builds the ceiling and starts it.
func startCeiling(ctx context.Context, env []string) (*server, error) {
	dir, err := os.MkdirTemp("", "icomet-ceiling-")
	if err != nil {
		return nil, err
	}
	source, binary := filepath.Join(dir, "ceiling.c"), filepath.Join(dir, "ceiling")
	if err = os.WriteFile(source, ceilingSource, 0o600); err == nil {
		var out []byte
		if out, err = exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", binary, source).CombinedOutput(); err != nil {
			err = fmt.Errorf("gcc: %w\n%s", err, out)
		}
	}
	var s *server
	if err == nil {
		s, err = launch(ctx, []string{binary}, env, DialectIcomet)
	}
	// The running program keeps its file.
	return s, errors.Join(err, os.RemoveAll(dir))
}
