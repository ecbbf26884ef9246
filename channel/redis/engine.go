package redis

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// Engine is one node. Its methods are concurrency-safe and do not wait for Redis, except
// Stop.
type Engine struct {
	opts    Options
	hub     *channel.Hub
	log     *slog.Logger
	client  rueidis.Client
	dialer  *dialer
	cluster bool
	node    string // unique name of this process
	started time.Time
	publish string // the publish command: SPUBLISH in a Cluster
	keepFor string // Options.KeepTime in ms, for the scripts
	parts   []*partition

	room        room
	nodes       nodes
	queuedBytes atomic.Int64          // content of unanswered calls, in bytes
	congested   atomic.Int32          // pub/sub connections that wait for a loop of this node: publishes are refused
	watching    atomic.Bool           // subscribed to presence
	watchedAt   atomic.Int64          // time of the last Watch, ns since started
	away        atomic.Pointer[error] // the error that Ready returns
	broadcasts  chan broadcast
	dead        chan []string // nodes to bury; capacity 1
	logged      atomic.Int64  // time of the last logSeldom, ns since started
	signingOff  atomic.Bool   // set by Stop: this node's counts are no longer sent
	stats       stats
	tickers     atomic.Int64 // made so far

	stop    chan struct{}   // closed by Stop when all calls are answered
	life    context.Context // of every request to Redis; ends with stop
	endLife context.CancelFunc
	workers sync.WaitGroup // every goroutine except those of the groups

	moved    chan struct{} // asks for a look at the layout; capacity 1
	groupsMu sync.Mutex
	groups   map[string]*group // by the master's address; "" without a Cluster

	mu      sync.RWMutex // a leaf; once stopped is set, no call begins
	calls   sync.WaitGroup
	stopped bool
	quiet   chan struct{} // closed when Stop begins: broadcasts give up
}

var _ channel.Engine = (*Engine)(nil)

// New connects to Redis and makes o.Hub a follower. Stop ends the engine. Errors name the
// addresses and, if it is known, what to look at (DESIGN.md, "TLS, users, errors of the
// start").
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
	o.seams.fill()
	dial := newDialer(o.seams.dial)
	client, err := rueidis.NewClient(o.clientOption(dial))
	if err != nil {
		return nil, o.explain(err)
	}
	life, endLife := context.WithCancel(context.Background())
	e := &Engine{
		opts: o, hub: o.Hub, log: o.Logger, client: client, dialer: dial, publish: "PUBLISH", keepFor: millis(o.KeepTime),
		node: o.seams.node, started: time.Now(), broadcasts: make(chan broadcast, broadcastQueue),
		groups: make(map[string]*group), moved: make(chan struct{}, 1), dead: make(chan []string, 1), stop: make(chan struct{}), quiet: make(chan struct{}),
		life: life, endLife: endLife,
	}
	for i := range o.seams.partitions {
		e.parts = append(e.parts, newPartition(o.Prefix, i))
	}
	o.Hub.Follow()
	if e.cluster, err = e.findCluster(); err == nil {
		if e.cluster {
			e.publish = "SPUBLISH"
		}
		err = e.start()
	}
	if err != nil {
		e.disconnect()
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
	if err := e.refuseOld(ctx); err != nil {
		return err
	}
	if err := e.beat(); err != nil {
		return err
	}
	if err := e.serves(ctx, e.parts[0]); err != nil {
		return err
	}
	live, cancelLive := context.WithTimeout(context.Background(), max(startPatience, e.opts.Timeout))
	defer cancelLive()
	if err := e.waitLive(live); err != nil {
		return err
	}
	for _, work := range []func(){
		e.broadcastLoop, e.buryLoop, e.changesLoop, e.nodeLoop, e.sweepLoop, e.repeatLoop, e.layoutLoop, e.readyLoop,
	} {
		e.workers.Go(work)
	}
	return nil
}

// nodeName names this process: host and process id for the reader, and a random part to
// make it unique.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%08x", host, os.Getpid(), rand.Uint32())
}

// newEpoch returns the epoch of a new channel. On the wire, its first 8 digits stand for
// it, and 0 means none.
func (e *Engine) newEpoch() string {
	v := e.opts.seams.random()
	for bits.ReverseBytes32(uint32(v)) <= channel.ForeignEpoch {
		v = e.opts.seams.random()
	}
	var b [epochLen / 2]byte
	for i := range b {
		b[i] = byte(v >> (8 * i))
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

// deadline is the context of one call to Redis.
func (e *Engine) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.life, e.opts.Timeout)
}

// loadScripts loads the scripts into every node that answers, replicas too, since one may
// become the master.
func (e *Engine) loadScripts(ctx context.Context) error {
	var last error
	loaded := false
	for _, c := range e.client.Nodes() {
		err := firstError(send(ctx, c, loadCommands(c.B())...))
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

// run executes one script, outside the lanes.
func (e *Engine) run(ctx context.Context, s *script, keys []string, args ...string) rueidis.RedisResult {
	return runScripts(ctx, e.client, []scriptCall{{s, keys, args}})[0]
}

// ended reports that a signal was given: quiet, that Stop has begun; stop, that all calls
// are answered.
func ended(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// begin counts a call in progress, for calls.Done, or answers it with ErrStopped and
// returns false.
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

// finish answers a call that has begun.
func (e *Engine) finish(done channel.Done, r channel.Result) {
	done.Done(r)
	e.calls.Done()
}

// Stop answers the calls in progress, takes this node out of Redis and disconnects. The
// calls have Timeout at the most, and what follows has what they have left of it, or a
// quarter of it: a process that ends must not be held up by a Redis that hangs.
func (e *Engine) Stop() {
	began := time.Now()
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
	e.watching.Store(false)
	patience := e.opts.Timeout
	ctx, cancel := context.WithTimeout(e.life, max(patience-time.Since(began), patience/4))
	defer cancel()
	if e.up() && e.catchUp(ctx) { // so that subscribers get what was acknowledged
		e.leave(ctx)
	}
	e.disconnect()
}

// disconnect ends everything that works for this node. Its connections are closed first:
// the client library waits for a silent Redis up to a second each time that it makes or
// closes one.
func (e *Engine) disconnect() {
	close(e.stop)
	groups := e.closeGroups()
	e.endLife()
	e.dialer.close()
	e.workers.Wait()
	for _, g := range groups {
		g.ended.Wait()
	}
	e.client.Close()
}
