//go:build linux

package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"icomet/bench"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// The load of every part: publishes, as many in flight as redis-benchmark has.
const (
	publishers = 8
	depth      = 32 // of each publisher
	inFlight   = publishers * depth
	channels   = 1000
)

// Cost is what one way of publishing reaches and costs. A CPU that is not used or not known
// is 0.
type Cost struct {
	Rate                  float64 // publishes a second
	Redis, Server, Client float64 // µs of CPU for each publish; Client is the one that sends
	RedisShare            float64 // of a core that Redis uses, 0 to 1
}

// Round is what MeasureCost measures.
type Round struct {
	Benchmark Cost    // redis-benchmark
	Publish   Cost    // publishes through a server with the Redis engine
	Memory    Cost    // through one with the memory engine
	Library   float64 // µs of CPU that the client library takes for one call
}

// CostOptions says what MeasureCost runs.
type CostOptions struct {
	Server   string        // a command line
	Script   string        // the file of publish.lua
	Library  string        // a command that prints the CPU of a call of the client library as "N cpu-µs/op"
	Duration time.Duration // of each part of a round
}

// MeasureCost runs one round: each way of publishing in turn, with one Redis. A publish that
// fails is an error.
func MeasureCost(ctx context.Context, o CostOptions) (r Round, err error) {
	server, err := target.StartRedis(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if r.Benchmark, err = benchmark(ctx, server, o); err != nil {
		return r, err
	}
	publish := scenario.Options{Publishers: publishers, Depth: depth, Channels: channels,
		Warmup: time.Second, Duration: o.Duration, Drain: 5 * time.Second, Timeout: 10 * time.Second}
	if r.Publish, err = publishCost(ctx, publish, target.Target{Command: o.Server, Env: server.Env(), Store: server.Processes[0]}); err != nil {
		return r, err
	}
	if r.Memory, err = publishCost(ctx, publish, target.Target{Command: o.Server}); err != nil {
		return r, err
	}
	r.Library, err = libraryCost(ctx, o.Library)
	return r, err
}

func publishCost(ctx context.Context, o scenario.Options, t target.Target) (Cost, error) {
	s, err := scenario.Preset("publish", o)
	if err != nil {
		return Cost{}, err
	}
	r, err := bench.Run(ctx, s, t, nil)
	if err != nil {
		return Cost{}, err
	}
	if r.Failures > 0 {
		return Cost{}, errors.New(r.Verdict())
	}
	each := 1e6 / float64(r.Measured.Answered)
	return Cost{Rate: r.PublishRate, Redis: r.StoreCPU * each, Server: r.ServerCPU * each, Client: r.ClientCPU * each,
		RedisShare: r.StoreCPU / r.Seconds}, nil
}

// benchmark runs redis-benchmark: first for a short time, to find out how many requests the
// duration takes and to create the channels.
func benchmark(ctx context.Context, r *target.Redis, o CostOptions) (Cost, error) {
	text, err := os.ReadFile(o.Script)
	if err != nil {
		return Cost{}, err
	}
	sha, err := r.CLI(ctx, text, "-x", "SCRIPT", "LOAD")
	if err != nil {
		return Cost{}, err
	}
	first, err := requests(ctx, r, sha, 20*channels)
	if err != nil {
		return Cost{}, err
	}
	return requests(ctx, r, sha, int(first.Rate*o.Duration.Seconds()))
}

var rateLine = regexp.MustCompile(`([0-9.]+) requests per second`)

// requests has redis-benchmark send n publishes, with the keys and arguments that the engine
// passes by default.
func requests(ctx context.Context, r *target.Redis, sha string, n int) (Cost, error) {
	const partition = "icomet:{0}"
	const channel = "bench__rand_int__"
	_, port, _ := net.SplitHostPort(r.Address)
	cmd := exec.CommandContext(ctx, "redis-benchmark", "-q", "-p", port, "-c", "1", "-P", strconv.Itoa(inFlight),
		"-n", strconv.Itoa(n), "-r", strconv.Itoa(channels),
		"EVALSHA", sha, "4", partition+"c:"+channel, partition+"h:"+channel, partition+"due", partition+"p",
		channel, strings.Repeat("x", 100), "10", "30000", "0123456789abcdef", "1", "PUBLISH", "86400000")
	before, began := r.Processes.CPU(), time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Cost{}, fmt.Errorf("redis-benchmark: %w\n%s", err, out)
	}
	cpu, took := r.Processes.CPU()-before, time.Since(began)
	found := rateLine.FindSubmatch(out)
	if found == nil || strings.Contains(string(out), "ERR") {
		return Cost{}, fmt.Errorf("redis-benchmark does not print its rate:\n%s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	each := 1e6 / float64(n)
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return Cost{Rate: rate, Redis: cpu * each, Client: used.Seconds() * each, RedisShare: cpu / took.Seconds()}, err
}

var cpuOfCall = regexp.MustCompile(`([0-9.]+) cpu-µs/op`)

func libraryCost(ctx context.Context, command string) (float64, error) {
	argv := strings.Fields(command)
	if len(argv) == 0 {
		return 0, errors.New("no command for the client library alone")
	}
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	found := cpuOfCall.FindSubmatch(out)
	if err != nil || found == nil {
		return 0, fmt.Errorf("%s does not print the CPU of a call: %w\n%s", command, err, out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
