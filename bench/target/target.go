//go:build linux

package target

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"icomet/bench/procstat"
	"icomet/bench/protocol"
	"icomet/bench/scenario"
)

// Target says which server is measured: one that the harness starts and stops
// (Command), or one that runs already (Running). Either may have several nodes that
// share their channels: subscribers and publishers are spread over them.
type Target struct {
	Command string           // "ceiling", "nchan", or a command line, split at spaces
	Nodes   int              // how many of Command are started; 0 is one
	Env     []string         // K=V, wins over the harness's own settings and the process's environment
	Running []Node           // without Command: where they listen
	Store   int              // process id of the store that the nodes share, for its figures; 0: none
	Dialect protocol.Dialect // "" is what a started server logs, or iComet's; nchan always has its own

	// TLS makes the subscribers speak TLS. Command, an icomet-server then, gets a certificate
	// that is made for it. CA is a file with the authorities of Running; "": the system's.
	TLS bool
	CA  string
}

// String names a target in tables: its command line, or the addresses of those that run.
func (t Target) String() string {
	if t.Command == "" {
		var fronts []string
		for _, n := range t.Running {
			fronts = append(fronts, n.Front)
		}
		return strings.Join(fronts, ",")
	}
	return t.Command
}

// Node is one server process: where it listens for subscribers and for publishers, both in
// 127.0.0.0/8. Front and Admin may also be those of two servers that share their channels.
type Node struct {
	Front string
	Admin string
	PID   int // 0: its memory and CPU are not known
}

// Names that Command takes for servers that the harness can start by itself.
const (
	Ceiling = "ceiling"
	Nchan   = "nchan"
)

// Server is a target that listens. It is used by the goroutine that started it.
type Server struct {
	Nodes       []Node
	Processes   procstat.Processes // of all nodes
	Store       procstat.Processes // of the store that they share, if it is known
	Dialect     protocol.Dialect
	Started     bool            // by Start, so that it was fresh
	TLS         bool            // the front ports speak it
	Authorities string          // PEM, of their certificates; "": the system's
	Died        <-chan struct{} // closed when a started process has ended
	end         func() error
	within      time.Duration // so long after SIGTERM it is killed
	log         *tail         // of several nodes: of the one that ended first, once Died is closed
}

// Stop ends what Start started, with SIGTERM; a server that ran already goes on. The error
// says that a process had to be killed and what it last logged.
func (s *Server) Stop() error { return s.end() }

// LastLog returns the last lines that a started server logged; of several nodes, of the one
// that ended first. Of nodes it is known once Died is closed.
func (s *Server) LastLog() string { return s.log.String() }

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second // for each node: those that stop at the same time share the CPUs
)

// Start starts the target, if it does not run already, and waits until all its nodes listen.
// ctx ends the wait only.
func (t Target) Start(ctx context.Context) (s *Server, err error) {
	authorities, cleanup, err := t.secure()
	if err != nil {
		return nil, err
	}
	defer cleanup() // the server has read them
	defer func() {
		if s != nil {
			s.Store, s.TLS, s.Authorities = procstat.Of(t.Store), t.TLS, authorities
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

func (t Target) attach() (*Server, error) {
	var pids []int
	for _, n := range t.Running {
		for _, a := range []string{n.Front, n.Admin} {
			if _, err := scenario.CheckLoopback(a); err != nil {
				return nil, err
			}
		}
		pids = append(pids, n.PID)
	}
	d, err := protocol.ParseDialect(string(t.Dialect))
	if err != nil {
		return nil, err
	}
	return &Server{Nodes: t.Running, Processes: procstat.Of(pids...), Dialect: d, Died: make(chan struct{}),
		end: func() error { return nil }, log: &tail{}}, nil
}

// startNodes starts several of Command as one Server. They find each other by what Env says.
func (t Target) startNodes(ctx context.Context) (*Server, error) {
	died := make(chan struct{})
	all := &Server{Started: true, Died: died, log: &tail{}}
	var parts []*Server
	all.end = func() error {
		errs := make([]error, len(parts))
		var stopping sync.WaitGroup
		for i, s := range parts {
			stopping.Go(func() { errs[i] = s.Stop() })
		}
		stopping.Wait()
		return errors.Join(errs...)
	}
	var first sync.Once
	for range t.Nodes {
		s, err := launch(ctx, strings.Fields(t.Command), t.Env, t.Dialect)
		if err != nil {
			return nil, errors.Join(err, all.Stop())
		}
		s.within *= time.Duration(t.Nodes)
		parts = append(parts, s)
		all.Dialect, all.Nodes = s.Dialect, append(all.Nodes, s.Nodes...)
		all.Processes = append(all.Processes, s.Processes...)
		go func() {
			<-s.Died
			first.Do(func() {
				all.log = s.log
				close(died)
			})
		}()
	}
	return all, nil
}
