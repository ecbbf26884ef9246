//go:build linux

package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// WorkerCommand is the first argument with which a program executes itself to be a worker:
// it must then call RunWorker.
const WorkerCommand = "worker"

// Handle is a worker as the coordinator sees it. A worker whose Commands are closed ends.
type Handle struct {
	Commands chan<- Command
	Ended    <-chan struct{} // closed when its connections are closed and it sends no more
}

// StartLocal runs a worker that has no peers, in a goroutine of this process. Its Events
// go to events, which must be received until Ended. The error is one of the job's addresses
// or of the system.
func StartLocal(j Job, events chan<- Event) (Handle, error) {
	commands := make(chan Command, 4) // a start and a stop
	w, err := newWorker(j, commands, events, nil)
	if err != nil {
		return Handle{}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run()
	}()
	return Handle{commands, ended}, nil
}

// StartProcesses runs each job in a process of its own, with pipes between them. Events go
// to events, which must be received until each worker has Ended. With an error it also
// returns the workers that run already; the caller closes their Commands.
func StartProcesses(jobs []Job, events chan<- Event) (handles []Handle, err error) {
	ins, outs := make([]*os.File, len(jobs)), make([]*os.File, len(jobs))
	defer func() { // the children have their own
		for _, f := range append(ins, outs...) {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := range jobs {
		if ins[i], outs[i], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	for i, j := range jobs {
		h, err := startProcess(j, append([]*os.File{ins[i]}, outs...), events)
		if err != nil {
			return handles, err // the caller ends those that run
		}
		handles = append(handles, h)
	}
	return handles, nil
}

func startProcess(j Job, files []*os.File, events chan<- Event) (Handle, error) {
	self, err := os.Executable()
	if err != nil {
		return Handle{}, err
	}
	cmd := exec.Command(self, WorkerCommand)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	in, err := cmd.StdinPipe()
	if err != nil {
		return Handle{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Handle{}, err
	}
	if err := cmd.Start(); err != nil {
		return Handle{}, fmt.Errorf("start a worker: %w", err)
	}
	commands := make(chan Command, 4)
	// The worker's life hangs on its standard input.
	go func() {
		encoder := json.NewEncoder(in)
		err := encoder.Encode(j)
		for c := range commands {
			if err == nil {
				err = encoder.Encode(c) // a worker that has gone is noticed below
			}
		}
		in.Close()
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		decoder := json.NewDecoder(out)
		over := false
		for {
			var e Event
			if err := decoder.Decode(&e); err != nil {
				break
			}
			over = over || e.Result != nil || e.Error != ""
			events <- e
		}
		if err := cmd.Wait(); !over {
			events <- Event{Worker: j.Index, Error: fmt.Sprintf("worker %d ended: %v", j.Index, err)}
		}
	}()
	return Handle{commands, ended}, nil
}

// RunWorker is the whole life of a worker process: it reads a Job and Commands from in and
// writes Events to out, as lines of JSON. It returns when the result is written or in ends;
// the error says why there is no result.
func RunWorker(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(bufio.NewReader(in))
	var j Job
	if err := decoder.Decode(&j); err != nil {
		return fmt.Errorf("worker: no job: %w", err)
	}
	var p *peers
	if j.Scenario.Procs > 1 {
		const first = 3 // the descriptor of cmd.ExtraFiles[0]
		to := make([]int, j.Scenario.Procs)
		for i := range to {
			to[i] = first + 1 + i
			unix.CloseOnExec(to[i])
		}
		unix.CloseOnExec(first)
		var err error
		if p, err = newPeers(first, to); err != nil {
			return err
		}
	}
	commands, events := make(chan Command, 4), make(chan Event, 16)
	w, err := newWorker(j, commands, events, p)
	if err != nil {
		return err
	}
	go func() {
		for {
			var c Command
			if decoder.Decode(&c) != nil {
				close(commands) // the coordinator has gone, and so does the worker
				return
			}
			commands <- c
		}
	}()
	go w.run()
	encoder := json.NewEncoder(out)
	for e := range events {
		if err := encoder.Encode(e); err != nil {
			return err
		}
		if e.Error != "" {
			return errors.New(e.Error)
		}
		if e.Result != nil {
			return nil
		}
	}
	return nil
}
