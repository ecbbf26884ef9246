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

// WorkerCommand is the argument with which the harness executes itself to be a
// worker. It is not meant for people.
const WorkerCommand = "worker"

// handle is a worker as the coordinator sees it.
type Handle struct {
	Commands chan<- Command
	Ended    <-chan struct{} // closed when it has hung up
}

// startLocal runs the only worker in this process.
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

// startProcesses runs each job in a process of its own, with pipes between
// them when there are several.
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
			return handles, err // those that run end with their commands: see hangUp
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

// RunWorker is the life of a worker process: a job and commands come in as
// lines of JSON, events go out.
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
