//go:build linux

package bench

import (
	"context"
	"errors"
	"time"
)

// ClusterOptions is a load on several nodes that share one Redis.
type ClusterOptions struct {
	Server      string // a command line
	Nodes       int
	Subscribers int // of each node
	Channels    int // each has subscribers on every node
	Rate        float64
	Broadcasts  int
	Duration    time.Duration // of publishing
	Settle      time.Duration
	Hold        time.Duration
}

// Cluster starts Redis and twice the nodes with all their subscribers: once messages are
// published, at every node, once there are broadcasts. It checks what Run checks.
func Cluster(ctx context.Context, o ClusterOptions, watch func(Progress)) (results []*Result, err error) {
	scenarios, err := o.scenarios()
	if err != nil {
		return nil, err
	}
	store, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.stop()) }()
	for _, s := range scenarios {
		r, err := Run(ctx, s, Target{Command: o.Server, Nodes: o.Nodes, Env: store.env(), Store: store.process[0]}, watch)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (o *ClusterOptions) scenarios() ([]Scenario, error) {
	// A harness process has as many connections as a node: they have the same limit of
	// open files. All share the machine's processors, so what is late is not yet lost.
	usual := Options{Subscribers: o.Nodes * o.Subscribers, Channels: o.Channels, Procs: o.Nodes, Concurrency: 32 * o.Nodes,
		Settle: o.Settle, Drain: 30 * time.Second, Timeout: time.Minute, Slow: -1}
	publish, broadcast := usual, usual
	publish.Publishers, publish.Depth, publish.Rate = o.Nodes, min(16, o.Channels/o.Nodes), o.Rate
	publish.Warmup, publish.Duration = time.Second, o.Duration
	publish.Hold = o.Hold
	broadcast.Broadcasts, broadcast.Duration = o.Broadcasts, time.Minute
	first, err := Preset("fanout", publish)
	if err != nil {
		return nil, err
	}
	second, err := Preset("idle", broadcast)
	return []Scenario{first, second}, err
}
