//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"icomet/bench/cluster"
	"icomet/bench/redis"
)

// runRedis measures what the Redis engine costs and adds.
func runRedis(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("icomet-bench redis", flag.ContinueOnError)
	cost := redis.CostOptions{}
	f.StringVar(&cost.Server, "server", "", "the `server` to measure: a command line")
	f.StringVar(&cost.Script, "script", "channel/redis/scripts/publish.lua", "the `file` of the publishing script")
	f.StringVar(&cost.Library, "library", "", "a `command` that measures the client library alone: BenchmarkClientAlone of channel/redis")
	f.DurationVar(&cost.Duration, "duration", 3*time.Second, "of each part of a round of publishing")
	rounds := f.Int("rounds", 5, "rounds; the figures are medians")
	delay := f.Duration("delay", time.Minute, "of each part of a round of latency")
	quick := f.Bool("quick", false, "two rounds, 5 seconds of latency")
	if err := parse(f, args); err != nil {
		return err
	}
	switch {
	case cost.Server == "", cost.Library == "":
		return wrong(f, "want -server and -library")
	case *rounds < 1:
		return wrong(f, "-rounds: want at least 1")
	}
	if *quick {
		*rounds, *delay = 2, 5*time.Second
	}
	var all redis.Report
	for range *rounds {
		r, err := redis.MeasureCost(ctx, cost)
		if err != nil {
			return err
		}
		all.Rounds = append(all.Rounds, r)
	}
	if err := all.WriteCosts(os.Stdout); err != nil {
		return err
	}
	pair, err := redis.StartPair(ctx, cost.Server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pair.Stop()) }()
	for range *rounds {
		d, err := pair.Delays(ctx, *delay)
		if err != nil {
			return err
		}
		all.Delays = append(all.Delays, d)
	}
	if err := all.WriteDelays(os.Stdout); err != nil {
		return err
	}
	if all.Bystander, err = pair.Bystander(ctx, 5000, min(*delay, 10*time.Second)); err != nil {
		return err
	}
	return all.WriteBystander(os.Stdout)
}

// runCluster puts a load on several nodes that share a Redis.
func runCluster(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("icomet-bench cluster", flag.ContinueOnError)
	o := cluster.Options{}
	f.StringVar(&o.Server, "server", "", "the `server` to start: a command line")
	f.IntVar(&o.Nodes, "nodes", 12, "nodes, and as many processes of the harness")
	f.IntVar(&o.Subscribers, "n", 18000, "subscribers of each node")
	f.IntVar(&o.Channels, "channels", 1000, "channels, each with subscribers on every node")
	f.Float64Var(&o.Rate, "rate", 50, "messages a `second`, over all channels, published at all nodes")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "of publishing")
	f.DurationVar(&o.Settle, "settle", 5*time.Second, "from the last connect to the idle figures")
	f.DurationVar(&o.Hold, "hold", 20*time.Second, "then hold them for so long and measure CPU")
	f.IntVar(&o.Broadcasts, "broadcasts", 3, "broadcasts to all, after a second start")
	if err := parse(f, args); err != nil {
		return err
	}
	if o.Server == "" {
		return wrong(f, "want -server")
	}
	if o.Nodes < 1 || o.Channels < o.Nodes || o.Broadcasts < 1 || o.Rate <= 0 {
		return errors.New("want 1 node, broadcast and message a second or more, and at least as many channels as nodes")
	}
	watch, clear := progress()
	results, err := cluster.Run(ctx, o, watch)
	clear()
	if err != nil {
		return err
	}
	var failed int64
	for _, r := range results {
		failed += r.Failures
		if err := r.WriteTable(os.Stdout); err != nil {
			return err
		}
		fmt.Printf("  of each node\t%.1f MiB RSS idle\n", float64(r.RSSIdle)/float64(r.Nodes)/(1<<20))
	}
	return failures(failed)
}
