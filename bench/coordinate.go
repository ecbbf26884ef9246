//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"icomet/bench/load"
	"icomet/bench/protocol"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/tally"
	"icomet/bench/target"
)

// Progress is the state of a run, passed to watch several times a second.
type Progress struct {
	Phase string  // connecting, settling, holding, warming up, measuring, draining
	Done  float64 // of the phase, 0 to 1
	tally.Counts
}

// session is one run. All of it belongs to the goroutine that called Run.
type session struct {
	scenario.Scenario
	server  *target.Server
	watch   func(Progress)
	events  chan load.Event
	workers []load.Handle
	probe   int // index of the probe's worker, -1 without
	latest  []tally.Counts
	up      int
	ended   int // workers whose publishing is over
	sheets  []*load.Sheet
	began   time.Time
	result  *report.Result
	phase   string
	phaseAt time.Time
	phaseOf time.Duration
}

const sampleEvery = 200 * time.Millisecond

// Run starts the target, puts the scenario's load on it, stops it and returns the figures.
// It calls watch, which may be nil, on its own goroutine. Lost or corrupt messages are no
// error but Failures of the result; an error means that there is no result: a bound is
// broken, the server or a worker ended, or ctx did. With -procs above 1 and with a probe it
// executes this program again: see load.WorkerCommand.
func Run(ctx context.Context, s scenario.Scenario, t target.Target, watch func(Progress)) (*report.Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	server, err := t.Start(ctx)
	if err != nil {
		return nil, err
	}
	if watch == nil {
		watch = func(Progress) {}
	}
	c := &session{Scenario: s, server: server, watch: watch, began: time.Now(), probe: -1,
		// Room for what comes while one is being handled; when it is full, workers wait.
		events: make(chan load.Event, 64),
		result: &report.Result{Scenario: s, Server: t.String(), Nodes: len(server.Nodes), Time: time.Now().UTC(), Machine: thisMachine()}}
	c.result.Version = target.ReadVersion(ctx, server.Nodes)
	err = c.run(ctx)
	c.hangUp()
	if err = errors.Join(err, server.Stop()); err != nil {
		return nil, err
	}
	return c.result, nil
}

func (c *session) run(ctx context.Context) error {
	c.fresh()
	if err := c.startWorkers(); err != nil {
		return err
	}
	if err := c.connectAndHold(ctx); err != nil {
		return err
	}
	publishing := false
	for _, g := range c.Groups {
		publishing = publishing || g.Publishers > 0
	}
	if publishing {
		if err := c.measure(ctx); err != nil {
			return err
		}
	}
	for _, w := range c.workers {
		w.Commands <- load.Command{Stop: true}
	}
	c.enter("draining", 0)
	if err := c.await(ctx, func() bool { return len(c.sheets) == len(c.workers) }, time.Time{}); err != nil {
		return err
	}
	return c.evaluate()
}

// fresh notes the memory of the started server once it no longer changes.
func (c *session) fresh() {
	if len(c.server.Processes) == 0 {
		return
	}
	last, same := int64(-1), 0
	for i := 0; i < 20 && same < 3; i++ {
		rss, _ := c.server.Processes.Memory()
		if rss == last {
			same++
		} else {
			last, same = rss, 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.result.RSSFresh, c.result.RSSPeak = last, last
}

func (c *session) startWorkers() (err error) {
	prefix := "b" + strconv.FormatInt(time.Now().UnixNano()/1000, 36) + "-" + strconv.Itoa(os.Getpid()) + "-"
	shared := load.Job{Scenario: c.Scenario, Dialect: c.server.Dialect, Prefix: prefix}
	if c.server.TLS {
		shared.TLS = &load.TLS{Authorities: c.server.Authorities}
	}
	for _, n := range c.server.Nodes {
		shared.Fronts, shared.Admins = append(shared.Fronts, n.Front), append(shared.Admins, n.Admin)
	}
	jobs := make([]load.Job, c.Procs)
	for i := range jobs {
		jobs[i] = shared
		jobs[i].Index = i
	}
	if c.Procs == 1 {
		h, err := load.StartLocal(jobs[0], c.events)
		if err != nil {
			return err
		}
		c.workers = []load.Handle{h}
	} else if c.workers, err = load.StartProcesses(jobs, c.events); err != nil {
		return err
	}
	if c.Probe > 0 {
		j := jobs[0]
		j.Prefix += "probe-"
		j.Scenario.Procs, j.Scenario.Concurrency = 1, 1
		j.Scenario.Groups = []scenario.Group{{Name: "probe", Subscribers: 1, Channels: 1, Publishers: 1, Depth: 64, Rate: c.Probe, Size: protocol.MinSize}}
		c.probe = len(c.workers)
		j.Index = 0
		h, err := load.StartProcesses([]load.Job{j}, c.relabel(c.probe))
		if err != nil {
			return err
		}
		c.workers = append(c.workers, h...)
	}
	c.latest = make([]tally.Counts, len(c.workers))
	return nil
}

// relabel passes on the events of a worker that is alone in its scenario, where its number
// is 0.
func (c *session) relabel(index int) chan<- load.Event {
	events := make(chan load.Event)
	go func() {
		for e := range events {
			e.Worker = index
			c.events <- e
			if e.Result != nil || e.Error != "" {
				return
			}
		}
	}()
	return events
}

func (c *session) connectAndHold(ctx context.Context) error {
	c.enter("connecting", 0)
	if err := c.await(ctx, func() bool { return c.up == len(c.workers) }, time.Time{}); err != nil {
		return err
	}
	c.enter("settling", c.Settle)
	if err := c.await(ctx, nil, time.Now().Add(c.Settle)); err != nil {
		return err
	}
	r := c.result
	r.RSSIdle, _ = c.server.Processes.Memory()
	r.RSSPeak = max(r.RSSPeak, r.RSSIdle)
	r.Descriptors = c.server.Processes.Descriptors()
	r.StoreRSS, _ = c.server.Store.Memory()
	if c.Hold > 0 {
		c.enter("holding", c.Hold)
		cpu, store, noops := c.server.Processes.CPU(), c.server.Store.CPU(), c.counts().Noops
		if err := c.await(ctx, nil, time.Now().Add(c.Hold)); err != nil {
			return err
		}
		r.HoldCPU = (c.server.Processes.CPU() - cpu) / c.Hold.Seconds() * 100
		r.HoldStoreCPU = (c.server.Store.CPU() - store) / c.Hold.Seconds() * 100
		r.HoldNoops = c.counts().Noops - noops
	}
	return nil
}

// measure runs the warm-up and the counted time, and reads the server's CPU at
// both ends of it.
func (c *session) measure(ctx context.Context) error {
	const lead = 50 * time.Millisecond // for the command to reach all workers
	start := time.Now().Add(lead)
	at := load.Now() + int64(lead)
	for _, w := range c.workers {
		w.Commands <- load.Command{Start: at}
	}
	c.enter("warming up", c.Warmup)
	if err := c.await(ctx, nil, start.Add(c.Warmup)); err != nil {
		return err
	}
	gc := target.ReadGC(ctx, c.server.Nodes)
	cpu, storeCPU := c.server.Processes.CPU(), c.server.Store.CPU()
	c.enter("measuring", c.Duration)
	over := func() bool { return c.ended == len(c.workers) }
	for _, g := range c.Groups {
		if g.Broadcasts > 0 { // the worker that broadcasts knows when all have arrived
			over = func() bool { return c.ended > 0 }
		}
	}
	if err := c.await(ctx, over, start.Add(c.Warmup+c.Duration)); err != nil {
		return err
	}
	c.result.ServerCPU = c.server.Processes.CPU() - cpu
	c.result.StoreCPU = c.server.Store.CPU() - storeCPU
	if after, ok := target.ReadGC(ctx, c.server.Nodes).Since(gc); ok {
		c.result.GCKnown, c.result.GCCycles, c.result.GCPause = true, after.Cycles, float64(after.Pause)/1e6
	}
	return nil
}

func (c *session) enter(phase string, lasting time.Duration) {
	c.phase, c.phaseAt, c.phaseOf = phase, time.Now(), lasting
	c.sample()
}

// await handles events and takes samples until done (if not nil) or until the
// time (if not zero).
func (c *session) await(ctx context.Context, done func() bool, until time.Time) error {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	var deadline <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		deadline = timer.C
	}
	for done == nil || !done() {
		select {
		case e := <-c.events:
			if err := c.handle(e); err != nil {
				return err
			}
		case <-ticker.C:
			c.sample()
		case <-deadline:
			return nil
		case <-c.server.Died:
			return fmt.Errorf("the server ended while %s; its log ends with:\n%s", c.phase, c.server.LastLog())
		case <-ctx.Done():
			return fmt.Errorf("interrupted while %s: %w", c.phase, ctx.Err())
		}
	}
	return nil
}

func (c *session) handle(e load.Event) error {
	switch {
	case e.Error != "":
		return fmt.Errorf("worker %d: %s", e.Worker, e.Error)
	case e.Progress != nil:
		c.latest[e.Worker] = *e.Progress
	case e.Up:
		c.up++
	case e.Finished:
		c.ended++
	case e.Result != nil:
		c.latest[e.Worker] = e.Result.Total
		if e.Worker == c.probe {
			h, err := tally.Merge(e.Result.Latency)
			if err != nil {
				return err
			}
			c.result.Probe = tally.QuantilesOf(h)
			// Its messages are checked like the others', but its figures are its own.
			e.Result.Measured, e.Result.CPU, e.Result.RSS = tally.Counts{}, 0, 0
			e.Result.Latency, e.Result.Opening = nil, 0
		}
		c.sheets = append(c.sheets, e.Result)
	}
	return nil
}

func (c *session) counts() (sum tally.Counts) {
	for _, l := range c.latest {
		sum.Add(l)
	}
	return sum
}

func (c *session) sample() {
	counts := c.counts()
	rss, _ := c.server.Processes.Memory()
	c.result.RSSPeak = max(c.result.RSSPeak, rss)
	c.result.Series = append(c.result.Series, report.Sample{Second: time.Since(c.began).Seconds(), Deliveries: counts.Deliveries,
		Answered: counts.Answered, Connected: counts.Connected, RSS: rss, CPU: c.server.Processes.CPU()})
	p := Progress{Phase: c.phase, Counts: counts}
	switch {
	case c.phaseOf > 0:
		p.Done = min(1, float64(time.Since(c.phaseAt))/float64(c.phaseOf))
	case c.phase == "connecting":
		all := 0
		for _, g := range c.Groups {
			if !g.Churn {
				all += g.Subscribers
			}
		}
		p.Done = min(1, float64(counts.Connected)/float64(max(all, 1)))
	}
	c.watch(p)
}

// hangUp ends the workers, also after an error: it closes their commands and drops what they
// still send. It waits until they have closed their connections, so that the server does not
// have to end them all at once.
func (c *session) hangUp() {
	limit := 5 * time.Second // a worker that takes longer hangs; the server's end breaks its connections
	for _, g := range c.Groups {
		limit += time.Duration(g.Subscribers) * time.Millisecond
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, w := range c.workers {
			close(w.Commands)
		}
		for _, w := range c.workers {
			<-w.Ended
		}
	}()
	for expired := time.After(limit); ; {
		select {
		case <-c.events:
		case <-over:
			return
		case <-expired:
			return
		}
	}
}
