//go:build linux

package cluster

import (
	"context"
	"errors"
	"time"

	"icomet/bench"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// Options is a load on several nodes that share one Redis.
type Options struct {
	Server      string // a command line
	Nodes       int
	Subscribers int     // of each node
	Channels    int     // each has subscribers on every node
	Rate        float64 // messages a second, over all channels
	Broadcasts  int
	Duration    time.Duration // of publishing
	Settle      time.Duration // from the last connect to the idle figures
	Hold        time.Duration // then, before publishing: how long CPU is measured
}

// Run starts Redis, and twice the nodes with all their subscribers: first messages are
// published at every node, then, with fresh nodes, there are broadcasts. It returns the two
// results; at the first error of bench.Run, those so far. watch may be nil.
func Run(ctx context.Context, o Options, watch func(bench.Progress)) (results []*report.Result, err error) {
	scenarios, err := o.scenarios()
	if err != nil {
		return nil, err
	}
	store, err := target.StartRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Stop()) }()
	for _, s := range scenarios {
		r, err := bench.Run(ctx, s, target.Target{Command: o.Server, Nodes: o.Nodes, Env: store.Env(), Store: store.Processes[0]}, watch)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (o *Options) scenarios() ([]scenario.Scenario, error) {
	// A process of the harness has as many connections as a node: both have the same limit of
	// open files. All share the machine's processors: what is late is not yet lost.
	usual := scenario.Options{Subscribers: o.Nodes * o.Subscribers, Channels: o.Channels, Procs: o.Nodes, Concurrency: 32 * o.Nodes,
		Settle: o.Settle, Drain: 30 * time.Second, Timeout: time.Minute, Slow: -1}
	publish, broadcast := usual, usual
	publish.Publishers, publish.Depth, publish.Rate = o.Nodes, min(16, o.Channels/o.Nodes), o.Rate
	publish.Warmup, publish.Duration = time.Second, o.Duration
	publish.Hold = o.Hold
	broadcast.Broadcasts, broadcast.Duration = o.Broadcasts, time.Minute
	first, err := scenario.Preset("fanout", publish)
	if err != nil {
		return nil, err
	}
	second, err := scenario.Preset("idle", broadcast)
	return []scenario.Scenario{first, second}, err
}
