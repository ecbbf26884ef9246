//go:build linux

package load

import (
	"icomet/bench/protocol"
	"icomet/bench/scenario"
	"icomet/bench/tally"
)

// Job is what a worker is told at its start. It crosses a process boundary as JSON.
type Job struct {
	Scenario scenario.Scenario
	Dialect  protocol.Dialect
	Prefix   string   // of channel names
	Fronts   []string // where the nodes listen for subscribers, in 127.0.0.0/8
	Admins   []string // and for publishers
	TLS      *TLS     // of the subscribers' connections; nil: none
	Index    int      // which of Scenario.Procs workers
}

// Command is what the coordinator tells a running worker.
type Command struct {
	Start int64 `json:"start,omitempty"` // begin to publish at this time (Now)
	Stop  bool  `json:"stop,omitempty"`  // publish no more, wait for what is in flight, and send the result
}

// Event is what a worker tells the coordinator. One field besides Worker is set.
type Event struct {
	Worker   int           `json:"worker"`
	Progress *tally.Counts `json:"progress,omitempty"`
	Up       bool          `json:"up,omitempty"`       // all connections are up, or have failed
	Finished bool          `json:"finished,omitempty"` // the counted time is over
	Result   *Sheet        `json:"result,omitempty"`   // the last event
	Error    string        `json:"error,omitempty"`    // instead of a result
}

// Sheet is a worker's result. Histograms are encoded as tally.Encode does, in nanoseconds.
type Sheet struct {
	Total        tally.Counts
	Measured     tally.Counts // within the counted time
	Opening      int64        // ns from the first connect to the last one being up
	Seconds      float64      // the counted time
	Latency      []byte       // publish to delivery
	Answer       []byte       // publish request to its answer
	Cycle        []byte       // churn: connect to message
	CPU          float64      // of the worker's process in the counted time, seconds
	RSS          int64        // of the worker's process at the end, bytes
	FirstFailure string       // "" without one
}
