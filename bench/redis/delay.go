//go:build linux

package redis

import (
	"context"
	"errors"
	"time"

	"icomet/bench"
	"icomet/bench/procstat"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/tally"
	"icomet/bench/target"
)

// delayRate is how many messages a second Delays publishes.
const delayRate = 100

// Delays are the latencies of messages that are sent one at a time, by where the subscriber
// is.
type Delays struct {
	Memory    tally.Quantiles // on one server with the memory engine
	SameNode  tally.Quantiles // on the node that was published at
	OtherNode tally.Quantiles // on the other node
}

// Pair is two nodes on one Redis, and a server with the memory engine.
type Pair struct {
	redis         *target.Redis
	nodes, memory *target.Server
}

// StartPair starts the servers (command is a command line) and their Redis; Stop ends them.
func StartPair(ctx context.Context, command string) (*Pair, error) {
	p := &Pair{}
	var err error
	if p.redis, err = target.StartRedis(ctx); err != nil {
		return nil, err
	}
	if p.nodes, err = (target.Target{Command: command, Nodes: 2, Env: p.redis.Env()}).Start(ctx); err == nil {
		p.memory, err = target.Target{Command: command}.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Stop ends what StartPair started. The error says what had to be killed.
func (p *Pair) Stop() error {
	var errs []error
	for _, s := range []*target.Server{p.memory, p.nodes, p.redis.Server} {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

// Delays measures the three latencies one after the other, each for d. A message that is
// lost is an error.
func (p *Pair) Delays(ctx context.Context, d time.Duration) (out Delays, err error) {
	at, other, alone := p.nodes.Nodes[0], p.nodes.Nodes[1], p.memory.Nodes[0]
	for _, m := range []struct {
		front, admin string
		into         *tally.Quantiles
	}{
		{alone.Front, alone.Admin, &out.Memory},
		{at.Front, at.Admin, &out.SameNode},
		{other.Front, at.Admin, &out.OtherNode},
	} {
		o := scenario.Options{Subscribers: 1, Publishers: 1, Depth: 16, Rate: delayRate,
			Warmup: time.Second, Duration: d, Drain: 5 * time.Second, Timeout: 10 * time.Second}
		r, err := p.run(ctx, o, target.Node{Front: m.front, Admin: m.admin})
		if err != nil {
			return out, err
		}
		*m.into = r.Latency
	}
	return out, nil
}

func (p *Pair) run(ctx context.Context, o scenario.Options, n target.Node) (*report.Result, error) {
	s, err := scenario.Preset("unicast", o)
	if err != nil {
		return nil, err
	}
	r, err := bench.Run(ctx, s, target.Target{Running: []target.Node{n}}, nil)
	if err == nil && r.Failures > 0 {
		err = errors.New(r.Verdict())
	}
	return r, err
}

// Bystander is what a node does while channels are published to that have subscribers on
// another node only.
type Bystander struct {
	Published int64   // to channels with subscribers on the other node
	Received  int64   // messages that pub/sub brought to this node
	CPU       float64 // % of a core
	IdleCPU   float64 // the same while nothing is published
}

// Bystander publishes rate messages a second for d to 1,000 channels that have subscribers
// on the first node only, and watches the second: for d before that, too, while nothing is
// published.
func (p *Pair) Bystander(ctx context.Context, rate float64, d time.Duration) (b Bystander, err error) {
	at, other := p.nodes.Nodes[0], p.nodes.Nodes[1]
	aside := procstat.Of(other.PID)
	used := func(do func() error) (float64, error) {
		before, began := aside.CPU(), time.Now()
		err := do()
		return (aside.CPU() - before) / time.Since(began).Seconds() * 100, err
	}
	if b.IdleCPU, err = used(func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}); err != nil {
		return b, err
	}
	before, err := received(ctx, other.Admin)
	if err != nil {
		return b, err
	}
	b.CPU, err = used(func() error {
		r, err := p.run(ctx, scenario.Options{Subscribers: channels, Publishers: publishers, Depth: depth, Rate: rate,
			Duration: d, Drain: 5 * time.Second, Timeout: 10 * time.Second}, at)
		if err == nil {
			b.Published = r.Total.Answered
		}
		return err
	})
	if err != nil {
		return b, err
	}
	after, err := received(ctx, other.Admin)
	b.Received = after - before
	return b, err
}

// received asks a node how many messages pub/sub brought to it.
func received(ctx context.Context, admin string) (int64, error) {
	var stats struct {
		Engine struct {
			Received *int64 `json:"received_total"`
		} `json:"engine"`
	}
	err := target.ReadStats(ctx, admin, &stats)
	if err == nil && stats.Engine.Received == nil {
		err = errors.New("/stats has no engine.received_total")
	}
	if err != nil {
		return 0, err
	}
	return *stats.Engine.Received, nil
}
