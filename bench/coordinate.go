//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Progress is told while a run is under way.
type Progress struct {
	Phase string  // connecting, settling, holding, warming up, measuring, draining
	Done  float64 // of the phase, 0 to 1
	Counts
}

// session is one run of the coordinator.
type session struct {
	Scenario
	server  *server
	watch   func(Progress)
	events  chan event
	workers []handle
	probe   int // index of the probe's worker, -1 without
	latest  []Counts
	up      int
	ended   int // workers whose publishing is over
	sheets  []*workerSheet
	began   time.Time
	result  *Result
	phase   string
	phaseAt time.Time
	phaseOf time.Duration
}

const sampleEvery = 200 * time.Millisecond

// Run starts the target, puts the scenario's load on it and returns the
// figures. watch may be nil.
func Run(ctx context.Context, s Scenario, t Target, watch func(Progress)) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	server, err := t.start(ctx)
	if err != nil {
		return nil, err
	}
	if watch == nil {
		watch = func(Progress) {}
	}
	c := &session{Scenario: s, server: server, watch: watch, began: time.Now(), probe: -1,
		// As many as may come while one is being handled; workers wait on it.
		events: make(chan event, 64),
		result: &Result{Scenario: s, Server: t.String(), Nodes: len(server.nodes), Time: time.Now().UTC(), Machine: thisMachine()}}
	err = c.run(ctx)
	c.hangUp()
	if err = errors.Join(err, server.stop()); err != nil {
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
		w.commands <- command{Stop: true}
	}
	c.enter("draining", 0)
	if err := c.await(ctx, func() bool { return len(c.sheets) == len(c.workers) }, time.Time{}); err != nil {
		return err
	}
	return c.evaluate()
}

// fresh takes the memory of the started server once it does not move any more.
func (c *session) fresh() {
	if len(c.server.process) == 0 {
		return
	}
	last, same := int64(-1), 0
	for i := 0; i < 20 && same < 3; i++ {
		rss, _ := c.server.process.memory()
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
	shared := job{Scenario: c.Scenario, Dialect: c.server.dialect, Prefix: prefix}
	for _, n := range c.server.nodes {
		shared.Fronts, shared.Admins = append(shared.Fronts, n.Front), append(shared.Admins, n.Admin)
	}
	jobs := make([]job, c.Procs)
	for i := range jobs {
		jobs[i] = shared
		jobs[i].Index = i
	}
	if c.Procs == 1 {
		h, err := startLocal(jobs[0], c.events)
		if err != nil {
			return err
		}
		c.workers = []handle{h}
	} else if c.workers, err = startProcesses(jobs, c.events); err != nil {
		return err
	}
	if c.Probe > 0 {
		j := jobs[0]
		j.Prefix += "probe-"
		j.Scenario.Procs, j.Scenario.Concurrency = 1, 1
		j.Scenario.Groups = []Group{{Name: "probe", Subscribers: 1, Channels: 1, Publishers: 1, Depth: 64, Rate: c.Probe, Size: MinSize}}
		c.probe = len(c.workers)
		j.Index = 0
		h, err := startProcesses([]job{j}, c.relabel(c.probe))
		if err != nil {
			return err
		}
		c.workers = append(c.workers, h...)
	}
	c.latest = make([]Counts, len(c.workers))
	return nil
}

// relabel passes on the events of a worker that is alone in its scenario, and
// so believes to be number 0.
func (c *session) relabel(index int) chan<- event {
	events := make(chan event)
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
	r.RSSIdle, _ = c.server.process.memory()
	r.RSSPeak = max(r.RSSPeak, r.RSSIdle)
	r.Descriptors = c.server.process.descriptors()
	r.StoreRSS, _ = c.server.store.memory()
	if c.Hold > 0 {
		c.enter("holding", c.Hold)
		cpu, store, noops := c.server.process.cpu(), c.server.store.cpu(), c.counts().Noops
		if err := c.await(ctx, nil, time.Now().Add(c.Hold)); err != nil {
			return err
		}
		r.HoldCPU = (c.server.process.cpu() - cpu) / c.Hold.Seconds() * 100
		r.HoldStoreCPU = (c.server.store.cpu() - store) / c.Hold.Seconds() * 100
		r.HoldNoops = c.counts().Noops - noops
	}
	return nil
}

// measure runs the warm-up and the counted time, and reads the server's CPU at
// both ends of it.
func (c *session) measure(ctx context.Context) error {
	const lead = 50 * time.Millisecond // for the command to reach all workers
	start := time.Now().Add(lead)
	at := now() + int64(lead)
	for _, w := range c.workers {
		w.commands <- command{Start: at}
	}
	c.enter("warming up", c.Warmup)
	if err := c.await(ctx, nil, start.Add(c.Warmup)); err != nil {
		return err
	}
	gc := readGC(ctx, c.server.nodes)
	cpu, storeCPU := c.server.process.cpu(), c.server.store.cpu()
	c.enter("measuring", c.Duration)
	over := func() bool { return c.ended == len(c.workers) }
	for _, g := range c.Groups {
		if g.Broadcasts > 0 { // the one that broadcasts knows when it is through
			over = func() bool { return c.ended > 0 }
		}
	}
	if err := c.await(ctx, over, start.Add(c.Warmup+c.Duration)); err != nil {
		return err
	}
	c.result.ServerCPU = c.server.process.cpu() - cpu
	c.result.StoreCPU = c.server.store.cpu() - storeCPU
	if after, ok := readGC(ctx, c.server.nodes).since(gc); ok {
		c.result.GCKnown, c.result.GCCycles, c.result.GCPause = true, after.cycles, float64(after.pause)/1e6
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
		case <-c.server.died:
			return fmt.Errorf("the server ended while %s; its log ends with:\n%s", c.phase, c.server.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("interrupted while %s: %w", c.phase, ctx.Err())
		}
	}
	return nil
}

func (c *session) handle(e event) error {
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
			h, err := mergeHistograms(e.Result.Latency)
			if err != nil {
				return err
			}
			c.result.Probe = quantiles(h)
			// Its messages are checked like the others', but its figures are its own.
			e.Result.Measured, e.Result.CPU, e.Result.RSS = Counts{}, 0, 0
			e.Result.Latency, e.Result.Opening = nil, 0
		}
		c.sheets = append(c.sheets, e.Result)
	}
	return nil
}

func (c *session) counts() (sum Counts) {
	for _, l := range c.latest {
		sum.add(l)
	}
	return sum
}

func (c *session) sample() {
	counts := c.counts()
	rss, _ := c.server.process.memory()
	c.result.RSSPeak = max(c.result.RSSPeak, rss)
	c.result.Series = append(c.result.Series, Sample{Second: time.Since(c.began).Seconds(), Deliveries: counts.Deliveries,
		Answered: counts.Answered, Connected: counts.Connected, RSS: rss, CPU: c.server.process.cpu()})
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

// hangUp ends the workers, also after an error: a worker whose commands are
// closed stops, and what it still says is thrown away. It waits until they have closed
// their connections, so that the server does not end them all at once.
func (c *session) hangUp() {
	limit := 5 * time.Second // then it hangs; the server's end will break its connections
	for _, g := range c.Groups {
		limit += time.Duration(g.Subscribers) * time.Millisecond
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, w := range c.workers {
			close(w.commands)
		}
		for _, w := range c.workers {
			<-w.ended
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
