package redis

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// Engine is one node. Its methods are concurrency-safe.
type Engine struct {
	opts    Options
	hub     *channel.Hub
	log     *slog.Logger
	client  rueidis.Client
	cluster bool
	node    string // this process, among all
	started time.Time
	publish string // the publish command: sharded in a Cluster
	keepFor string // Options.KeepTime as the scripts want it
	parts   [partitions]*partition

	room        room
	nodes       nodes
	queuedBytes atomic.Int64          // content of calls not answered
	congested   atomic.Bool           // a loop of this node is behind: publishes are refused
	watching    atomic.Bool           // presence is subscribed to
	watchedAt   atomic.Int64          // of the last Watch, ns since started
	away        atomic.Pointer[error] // what Ready says
	broadcasts  chan broadcast
	signingOff  atomic.Bool // Stop: this node's counts are not told any more
	stats       stats

	stop    chan struct{}  // closed by Stop when the calls are answered
	workers sync.WaitGroup // every goroutine but the groups'

	moved    chan struct{} // the layout has to be looked at; room for one
	groupsMu sync.Mutex
	groups   map[string]*group // by the master's address; "" without Cluster

	mu      sync.RWMutex // a leaf: no call begins once stopped is set
	calls   sync.WaitGroup
	stopped bool
	quiet   chan struct{} // closed when Stop has begun: broadcasts give up
}

var _ channel.Engine = (*Engine)(nil)

// New connects and makes hub a follower. Stop ends it.
func New(o Options) (*Engine, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if o.CheckInterval == 0 {
		o.CheckInterval = defaultCheck
	}
	if o.KeepTime == 0 {
		o.KeepTime = defaultKeep
	}
	client, err := rueidis.NewClient(o.clientOption())
	if err != nil {
		return nil, o.explain(err)
	}
	e := &Engine{
		opts: o, hub: o.Hub, log: o.Logger, client: client, publish: "PUBLISH", keepFor: millis(o.KeepTime),
		node: nodeName(), started: time.Now(), broadcasts: make(chan broadcast, broadcastQueue),
		groups: make(map[string]*group), moved: make(chan struct{}, 1), stop: make(chan struct{}), quiet: make(chan struct{}),
	}
	for i := range e.parts {
		e.parts[i] = newPartition(o.Prefix, i)
	}
	o.Hub.Follow()
	if e.cluster, err = e.findCluster(); err == nil {
		if e.cluster {
			e.publish = "SPUBLISH"
		}
		err = e.start()
	}
	if err != nil {
		close(e.stop)
		e.stopGroups()
		client.Close()
		return nil, o.explain(err)
	}
	return e, nil
}

// startPatience is how long the start waits for the pub/sub connections: longer than for
// one call, because they have to be made first.
const startPatience = 5 * time.Second

func (e *Engine) start() error {
	ctx, cancel := e.deadline()
	defer cancel()
	if err := e.loadScripts(ctx); err != nil {
		return err
	}
	if err := e.layOut(); err != nil {
		return err
	}
	if err := e.beat(); err != nil {
		return err
	}
	live, cancelLive := context.WithTimeout(context.Background(), max(startPatience, e.opts.Timeout))
	defer cancelLive()
	if err := e.waitLive(live); err != nil {
		return err
	}
	for _, work := range []func(){
		e.broadcastLoop, e.changesLoop, e.nodeLoop, e.sweepLoop, e.repeatLoop, e.layoutLoop, e.readyLoop,
	} {
		e.workers.Go(work)
	}
	return nil
}

// nodeName is this process: who and where for the reader, a random part for the rest.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%08x", host, os.Getpid(), rand.Uint32())
}

// newEpoch names a new life of a channel.
func newEpoch() string {
	var b [epochLen / 2]byte
	for i, v := 0, rand.Uint64(); i < len(b); i, v = i+1, v>>8 {
		b[i] = byte(v)
	}
	return hex.EncodeToString(b[:])
}

func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

func millis(d time.Duration) string { return itoa(d.Milliseconds()) }

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// deadline of one call to Redis.
func (e *Engine) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), e.opts.Timeout)
}

// loadScripts loads the scripts into every Redis that answers, replicas included, because
// a replica may take over.
func (e *Engine) loadScripts(ctx context.Context) error {
	var last error
	loaded := false
	for _, c := range e.client.Nodes() {
		err := firstError(c.DoMulti(ctx, loadCommands(c.B())...))
		if err != nil {
			last = err
		}
		loaded = loaded || err == nil
	}
	if !loaded {
		return fmt.Errorf("loading the scripts: %w", last)
	}
	return nil
}

func firstError(results []rueidis.RedisResult) error {
	for _, r := range results {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

// run executes one script, outside the pipelines of calls.
func (e *Engine) run(ctx context.Context, s *script, keys []string, args ...string) rueidis.RedisResult {
	r := e.client.Do(ctx, s.command(e.client.B(), keys, args...))
	if noScript(r.Error()) && e.loadScripts(ctx) == nil {
		r = e.client.Do(ctx, s.command(e.client.B(), keys, args...))
	}
	return r
}

// begin admits a call, which then owes calls.Done, or answers it with ErrStopped.
func (e *Engine) begin(done channel.Done) bool {
	e.mu.RLock()
	in := !e.stopped
	if in {
		e.calls.Add(1)
	}
	e.mu.RUnlock()
	if !in {
		done.Done(channel.Result{Err: channel.ErrStopped})
	}
	return in
}

// finish answers a call that was admitted.
func (e *Engine) finish(done channel.Done, r channel.Result) {
	done.Done(r)
	e.calls.Done()
}

// Stop waits for the calls that have begun, takes this node out of Redis, and closes the
// connections.
func (e *Engine) Stop() {
	e.mu.Lock()
	first := !e.stopped
	if first {
		e.stopped = true
		close(e.quiet)
	}
	e.mu.Unlock()
	e.calls.Wait()
	if !first {
		<-e.stop
		return
	}
	e.signingOff.Store(true)
	e.catchUp() // subscribers get what was acknowledged
	e.leave()
	close(e.stop)
	e.workers.Wait()
	e.stopGroups()
	e.client.Close()
}
