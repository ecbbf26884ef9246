//go:build linux

package bench

import (
	"context"
	"errors"
	"time"
)

// delayRate is the messages a second of RedisDelay.
const delayRate = 100

// Delays are the latencies of one message at a time, by where its subscriber is.
type Delays struct {
	Memory    Quantiles // on the only server, with the memory engine
	SameNode  Quantiles // on the node that was published at
	OtherNode Quantiles
}

// RedisPair is two nodes on one Redis, and a server with the memory engine.
type RedisPair struct {
	redis         *redisServer
	nodes, memory *server
}

// StartRedisPair starts them; Stop ends them.
func StartRedisPair(ctx context.Context, command string) (*RedisPair, error) {
	p := &RedisPair{}
	var err error
	if p.redis, err = startRedis(ctx); err != nil {
		return nil, err
	}
	if p.nodes, err = (Target{Command: command, Nodes: 2, Env: p.redis.env()}).start(ctx); err == nil {
		p.memory, err = Target{Command: command}.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Stop ends what is started.
func (p *RedisPair) Stop() error {
	var errs []error
	for _, s := range []*server{p.memory, p.nodes, p.redis.server} {
		if s != nil {
			errs = append(errs, s.stop())
		}
	}
	return errors.Join(errs...)
}

// Delays measures each for the duration, one after the other.
func (p *RedisPair) Delays(ctx context.Context, d time.Duration) (out Delays, err error) {
	at, other, alone := p.nodes.nodes[0], p.nodes.nodes[1], p.memory.nodes[0]
	for _, m := range []struct {
		front, admin string
		into         *Quantiles
	}{
		{alone.Front, alone.Admin, &out.Memory},
		{at.Front, at.Admin, &out.SameNode},
		{other.Front, at.Admin, &out.OtherNode},
	} {
		o := Options{Subscribers: 1, Publishers: 1, Depth: 16, Rate: delayRate,
			Warmup: time.Second, Duration: d, Drain: 5 * time.Second, Timeout: 10 * time.Second}
		r, err := p.run(ctx, o, Node{Front: m.front, Admin: m.admin})
		if err != nil {
			return out, err
		}
		*m.into = r.Latency
	}
	return out, nil
}

func (p *RedisPair) run(ctx context.Context, o Options, n Node) (*Result, error) {
	s, err := Preset("unicast", o)
	if err != nil {
		return nil, err
	}
	r, err := Run(ctx, s, Target{Running: []Node{n}}, nil)
	if err == nil && r.Failures > 0 {
		err = errors.New(r.verdict())
	}
	return r, err
}

// Bystander is what a node does while others' channels are published to.
type Bystander struct {
	Published int64   // to channels with subscribers on the other node
	Received  int64   // messages that pub/sub has brought
	CPU       float64 // % of a core
	IdleCPU   float64 // the same while nothing is published
}

// Bystander publishes to 1,000 channels that have subscribers on the first node only, and
// looks at the second.
func (p *RedisPair) Bystander(ctx context.Context, rate float64, d time.Duration) (b Bystander, err error) {
	at, other := p.nodes.nodes[0], p.nodes.nodes[1]
	aside := processOf(other.PID)
	used := func(do func() error) (float64, error) {
		before, began := aside.cpu(), time.Now()
		err := do()
		return (aside.cpu() - before) / time.Since(began).Seconds() * 100, err
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
		r, err := p.run(ctx, Options{Subscribers: redisChannels, Publishers: redisPublishers, Depth: redisDepth, Rate: rate,
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

// received is how many messages pub/sub has brought to a node.
func received(ctx context.Context, admin string) (int64, error) {
	var stats struct {
		Engine struct {
			Received *int64 `json:"received_total"`
		} `json:"engine"`
	}
	err := readStats(ctx, admin, &stats)
	if err == nil && stats.Engine.Received == nil {
		err = errors.New("/stats has no engine.received_total")
	}
	if err != nil {
		return 0, err
	}
	return *stats.Engine.Received, nil
}
