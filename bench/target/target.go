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
	Command string   // "ceiling", "nchan", or a command line, split at spaces
	Nodes   int      // how many of Command are started; 0 is one
	Env     []string // K=V, before the harness's own and the process's environment
	Running []Node
	Store   int // process id of the store that the nodes share, for its figures; 0: none
	Dialect protocol.Dialect
}

// String names a target in tables.
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
type Server struct {
	Nodes     []Node
	Processes procstat.Processes // of all nodes
	Store     procstat.Processes
	Dialect   protocol.Dialect
	Started   bool          // by us: it was fresh
	Died      chan struct{} // closed when a started process has ended
	end       func() error
	within    time.Duration // end's time, then it is killed
	log       *tail         // of the one that has ended, once died is closed
}

// stop ends what start started; a server that ran already goes on.
func (s *Server) Stop() error { return s.end() }

// lastLog is the end of the log, of the node that has ended if one has: valid once died
// is closed.
func (s *Server) LastLog() string { return s.log.String() }

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second // until a started server is killed, by how many stop at once
)

// start makes the target listen.
func (t Target) Start(ctx context.Context) (s *Server, err error) {
	defer func() {
		if s != nil {
			s.Store = procstat.Of(t.Store)
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
	d := t.Dialect
	if d == "" {
		d = protocol.DialectIcomet
	}
	return &Server{Nodes: t.Running, Processes: procstat.Of(pids...), Dialect: d, Died: make(chan struct{}),
		end: func() error { return nil }, log: &tail{}}, nil
}

// startNodes starts several of Command, which find each other by what Env says, and
// makes one server of them.
func (t Target) startNodes(ctx context.Context) (*Server, error) {
	all := &Server{Started: true, Died: make(chan struct{}), log: &tail{}}
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
				close(all.Died)
			})
		}()
	}
	return all, nil
}
