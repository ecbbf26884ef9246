//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"icomet/bench"
	"icomet/bench/protocol"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// settings are the flags of a scenario.
type settings struct {
	options scenario.Options
	target  target.Target
	json    string
	html    string
	quiet   bool
}

func parseScenario(name string, args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("icomet-bench "+name, flag.ContinueOnError)
	o, t := &s.options, &s.target
	f.IntVar(&o.Subscribers, "n", 0, "subscribers (churn: at a time)")
	f.IntVar(&o.Channels, "channels", 0, "channels; subscriber i listens on channel i modulo this")
	f.IntVar(&o.Each, "each", 0, "channels of each connection, of which -channels is a multiple; not with polls, churn and slow readers (default 1; multi: 50)")
	f.IntVar(&o.Publishers, "publishers", 0, "publishing connections")
	f.IntVar(&o.Depth, "depth", 0, "requests in flight on each publishing connection; in a closed loop also messages that not all subscribers have yet")
	f.BoolVar(&o.AnswersOnly, "answers-only", false, "closed loop: a publisher waits for its answers only, as applications do, not for the deliveries")
	f.Float64Var(&o.Rate, "rate", 0, "open loop: messages (churn: connections) a `second` over all publishers, latency from the intended time; 0 is closed loop")
	f.IntVar(&o.Size, "size", 0, fmt.Sprintf("`bytes` of content, %d to %d (default 100)", protocol.MinSize, protocol.MaxSize))
	f.Func("transport", "stream, sse, iframe, poll or ws (default stream; scenario poll: poll)", func(v string) (err error) {
		o.Transport, err = protocol.ParseTransport(v)
		return err
	})
	f.Float64Var(&o.Slow, "slow", -1, "slow and mixed: `share` of the readers that stop reading (default 0.1; mixed 0.5 of its slow group)")
	f.IntVar(&o.Broadcasts, "broadcasts", 0, "idle: broadcast so often to all channels after holding")
	f.Float64Var(&o.Probe, "probe", 0, "also send so many messages a `second` on a channel of its own, from a process of its own")
	f.IntVar(&o.Procs, "procs", 1, "processes to spread the connections over")
	f.IntVar(&o.Concurrency, "concurrency", 256, "connections being opened at a time; keep it below the server's listen backlog")
	f.DurationVar(&o.Settle, "settle", settleOf(name), "from the last connect to the idle memory figure")
	f.DurationVar(&o.Hold, "hold", 0, "then hold the connections for so long and measure the server's CPU")
	f.DurationVar(&o.Warmup, "warmup", time.Second, "load before the counted time")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "the counted time (with -broadcasts: at most)")
	f.DurationVar(&o.Drain, "drain", 5*time.Second, "what does not come for so long is lost")
	f.DurationVar(&o.Timeout, "timeout", 30*time.Second, "give up connecting when nothing comes up for so long")
	f.StringVar(&t.Command, "server", "", "start this server for the run: a `command` line, \"ceiling\" or \"nchan\"")
	f.Func("env", "`K=V` for the started server (may be repeated), e.g. ICOMET_FRONT_POLLING_TIMEOUT=5", func(v string) error {
		t.Env = append(t.Env, v)
		return nil
	})
	f.IntVar(&t.Nodes, "nodes", 1, "start so many of it; -env says what store they share. Subscribers and publishers are spread over them")
	front := f.String("front", "", "front `address` of a server that runs already; of several nodes, with commas between")
	admin := f.String("admin", "", "its admin `address`")
	pid := f.String("pid", "", "its process `id`, for memory and CPU")
	f.BoolVar(&t.TLS, "tls", false, "subscribers speak TLS; the server of -server gets a certificate for 127.0.0.1 (the admin port stays plain)")
	f.StringVar(&t.CA, "ca", "", "with -tls and -front: a PEM `file` with the authorities to trust instead of the system's")
	f.IntVar(&t.Store, "store", 0, "process `id` of the store that the nodes share, for its CPU and memory")
	f.Func("dialect", "what that server speaks: icomet, nchan or centrifuge (default icomet)", func(v string) (err error) {
		t.Dialect, err = protocol.ParseDialect(v)
		return err
	})
	f.StringVar(&s.json, "json", "", "write the result as JSON to this `file` (- is standard output)")
	f.StringVar(&s.html, "html", "", "write a report with plots to this `file`")
	f.BoolVar(&s.quiet, "quiet", false, "no table")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "icomet-bench: unexpected %q\n", f.Arg(0))
		return nil, errUsage
	}
	var err error
	if t.CA != "" && (!t.TLS || t.Command != "") {
		fmt.Fprintln(os.Stderr, "icomet-bench: -ca goes with -tls and -front")
		return nil, errUsage
	}
	if t.Command == "" {
		if t.Running, err = runningNodes(*front, *admin, *pid); err != nil {
			fmt.Fprintln(os.Stderr, "icomet-bench:", err)
			return nil, errUsage
		}
	}
	return s, nil
}

// runningNodes reads the lists of -front, -admin and -pid.
func runningNodes(front, admin, pid string) ([]target.Node, error) {
	fronts, admins := strings.Split(front, ","), strings.Split(admin, ",")
	if front == "" || admin == "" {
		return nil, errors.New("want -server, or -front and -admin")
	}
	pids := make([]string, len(fronts))
	if pid != "" {
		pids = strings.Split(pid, ",")
	}
	if len(admins) != len(fronts) || len(pids) != len(fronts) {
		return nil, fmt.Errorf("%d of -front, %d of -admin, %d of -pid: want as many of each", len(fronts), len(admins), len(pids))
	}
	nodes := make([]target.Node, len(fronts))
	for i := range nodes {
		nodes[i] = target.Node{Front: fronts[i], Admin: admins[i]}
		if pids[i] == "" {
			continue
		}
		var err error
		if nodes[i].PID, err = strconv.Atoi(pids[i]); err != nil {
			return nil, fmt.Errorf("-pid %s: want a number", pids[i])
		}
	}
	return nodes, nil
}

// settleOf is how long a scenario waits before it looks at idle memory: 10
// seconds where that is the point.
func settleOf(name string) time.Duration {
	switch name {
	case "idle":
		return 10 * time.Second
	case "multi":
		return 3 * time.Second
	}
	return 0
}

func runScenario(ctx context.Context, name string, args []string) error {
	if !slices.Contains(scenario.Names, name) {
		fmt.Fprintf(os.Stderr, "icomet-bench: there is no scenario %q\n%s", name, usage)
		return errUsage
	}
	s, err := parseScenario(name, args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	plan, err := scenario.Preset(name, s.options)
	if err != nil {
		return err
	}
	watch, clear := progress()
	run := bench.Run
	if plan.Groups[0].Each > 1 && plan.Settle > 0 && s.target.Command != "" {
		run = bench.RunAdded
	}
	result, err := run(ctx, plan, s.target, watch)
	clear()
	if err != nil {
		return err
	}
	return s.write(result)
}

// write puts out a result in the forms that were asked for.
func (s *settings) write(r *report.Result) error {
	if s.json != "" {
		if err := toFile(s.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }); err != nil {
			return err
		}
	}
	if s.html != "" {
		if err := toFile(s.html, r.WriteHTML); err != nil {
			return err
		}
	}
	if !s.quiet && s.json != "-" {
		if err := r.WriteTable(os.Stdout); err != nil {
			return err
		}
	}
	if r.Failures > 0 {
		return fmt.Errorf("%s on %s: %d failures: %s", r.Scenario.Name, r.Server, r.Failures, r.FirstFailure)
	}
	return nil
}

func toFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(os.Stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// progress shows a bar on a terminal, and nothing anywhere else; clear takes
// the bar off.
func progress() (watch func(bench.Progress), clear func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(100, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(20), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	watch = func(p bench.Progress) {
		bar.Describe(fmt.Sprintf("%-10s %d connected, %d delivered, %d published, %d failures",
			p.Phase, p.Connected, p.Deliveries, p.Answered, p.Failures()))
		// At 100 the bar would be over, and there is a next phase; a terminal
		// that has gone is no reason to stop.
		_ = bar.Set(min(int(p.Done*100), 99))
	}
	return watch, func() { _ = bar.Clear() }
}
