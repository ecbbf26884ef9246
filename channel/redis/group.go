package redis

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

const (
	// maxFetches bounds the Joins that wait for Redis, per master.
	maxFetches = 16384
	// groupBatch bounds the channels of each kind of work in one round trip on the
	// pub/sub connection. A slow Redis lowers it, to leastBatch at the least.
	groupBatch = 256
	leastBatch = 8
	// syncBatch is how many channels one call of sync.lua compares.
	syncBatch = 100
	// reconnectPause is about the time between two attempts to connect.
	reconnectPause = 100 * time.Millisecond
)

// fetch is a Join that needs Redis.
type fetch struct {
	m        *mirror
	auth     bool // the right token is needed
	known    bool // the channel must exist already, else ErrToken
	existing bool // the same with ErrNotFound
	token    string
	done     channel.Done
	at       time.Time // of the call
	kept     bool      // a place for a new channel is reserved
	over     bool      // answered; the partition's lock protects it
}

// group serves the partitions of one master. It has the lanes of calls, and the pub/sub
// connection, on which it also compares copies. Its goroutine makes one round trip after
// the other, so no Join is in progress while it sends counts to Redis.
type group struct {
	e      *Engine
	addr   string
	lanes  []*lane
	stop   chan struct{}
	wake   chan struct{} // capacity 1
	ended  sync.WaitGroup
	live   atomic.Bool
	server atomic.Pointer[string] // the run id of the Redis that the pub/sub connection has reached
	full   atomic.Bool            // the master is at its maxmemory
	// Used by the group's goroutine only:
	batch  int       // the present groupBatch
	putOff time.Time // comparisons and counts wait until then
	began  time.Time // of the present connection
	told   bool      // the log says that it is connected

	mu      sync.Mutex // a leaf
	closed  bool
	fetches []*fetch
	flying  []*fetch       // those of the present round trip
	stale   []*mirror      // to compare with Redis
	counts  []*mirror      // copies whose subscribers have come or gone
	leaving []subscription // to unsubscribe
	strays  []*partition   // in which Redis counts subscribers that this node may not have
	watches []*watch
}

type subscription struct {
	part *partition
	name string
}

func (e *Engine) newGroup(addr string) *group {
	g := &group{e: e, addr: addr, stop: make(chan struct{}), wake: make(chan struct{}, 1), batch: groupBatch}
	for range max(1, e.opts.Pool) {
		g.lanes = append(g.lanes, g.newLane())
	}
	for _, l := range g.lanes {
		g.ended.Go(l.run)
	}
	g.ended.Go(g.run)
	return g
}

func (g *group) laneOf(p *partition) *lane { return g.lanes[p.index%len(g.lanes)] }
func (g *group) isLive() bool              { return g.live.Load() }

func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *group) addStale(m *mirror) {
	g.mu.Lock()
	g.stale = append(g.stale, m)
	g.mu.Unlock()
	g.poke()
}

// addCount has the number of a copy's subscribers sent to Redis. A mirror is in the list
// at most once.
func (g *group) addCount(m *mirror) {
	if m.counting.Swap(true) {
		return
	}
	g.mu.Lock()
	g.counts = append(g.counts, m)
	g.mu.Unlock()
}

func (g *group) addStrays(p *partition) {
	g.mu.Lock()
	g.strays = append(g.strays, p)
	g.mu.Unlock()
	g.poke()
}

func (g *group) addUnsubscribe(p *partition, name string) {
	g.mu.Lock()
	g.leaving = append(g.leaving, subscription{p, name})
	g.mu.Unlock()
}

// addFetch queues a fetch. ok is false when the group has closed: the partition has
// another group by now.
func (g *group) addFetch(f *fetch) (ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return false, nil
	case !g.live.Load():
		return true, channel.ErrUnavailable
	case len(g.fetches) >= maxFetches:
		return true, channel.ErrOverloaded
	}
	g.fetches = append(g.fetches, f)
	g.poke()
	return true, nil
}

// maxReconnectPause is for a Redis that refuses what the pub/sub connection needs, for
// example by its user's rights.
const maxReconnectPause = 2 * time.Second

// run keeps the pub/sub connection up. After each break all copies are compared.
func (g *group) run() {
	pause := reconnectPause
	for {
		err := g.session()
		wasLive := g.live.Swap(false)
		g.failFetches()
		select {
		case <-g.stop:
			return
		default:
		}
		if wasLive {
			g.broke(err)
		}
		if c, _ := classOf(err); c == classBroken || c == classNone || wasLive && time.Since(g.began) > backLimit {
			pause = reconnectPause
		} else {
			pause = min(2*pause, maxReconnectPause)
		}
		select {
		case <-g.stop:
			return
		case <-time.After(g.e.around(pause)):
		}
	}
}

// broke draws the consequences of the end of a connection that was live. The log has one
// line, however often the next ones end soon.
func (g *group) broke(err error) {
	g.e.stats.reconnects.Add(1)
	if g.told {
		g.told = false
		g.e.log.Warn("redis: the pub/sub connection has ended", "master", g.addr, "error", err)
	}
	if c, word := classOf(err); c == classRefuses {
		g.refuseCalls(err, c, word)
	}
}

func (g *group) refuseCalls(err error, c class, word string) {
	for _, l := range g.lanes {
		l.goDown(err, c, word)
	}
}

// tell logs, once, that the connection is up: the first one at once, a later one when it
// has lasted.
func (g *group) tell(first bool) {
	if !g.told && (first || time.Since(g.began) >= backLimit) {
		g.told = true
		g.e.log.Info("redis: pub/sub is connected", "master", g.addr)
	}
}

var errNoMaster = errors.New("no connection to this master is known")

// session connects, and works until the connection ends.
func (g *group) session() error {
	client := g.e.masterClient(g.addr)
	if client == nil {
		return errNoMaster
	}
	conn, release := client.Dedicate()
	defer release()
	defer conn.Close()
	ended := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: g.onMessage, OnSubscription: g.onSubscription})
	ctx, cancel := g.e.deadline()
	results := send(ctx, conn, append(loadCommands(conn.B()), conn.B().Info().Section("server").Build())...)
	cancel()
	if err := firstError(results); err != nil {
		return err
	}
	info, err := results[len(results)-1].ToString()
	if err != nil {
		return err
	}
	g.server.Store(runID(info))
	first := g.began.IsZero()
	g.began = time.Now()
	g.begin()
	g.tell(first)
	look := checker{group: g, last: time.Now()}
	for {
		more, err := g.work(conn)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-g.stop:
			return nil
		case err := <-ended:
			return err
		case <-g.wake: // at least once in each changesTick
		}
		g.tell(false)
		if err := look.some(conn); err != nil {
			return err
		}
	}
}

// begin queues every copy to be subscribed and compared on the new connection.
func (g *group) begin() {
	g.mu.Lock()
	g.leaving = nil // those subscriptions ended with the old connection
	g.stale = nil   // all are compared below
	g.mu.Unlock()
	g.live.Store(true) // set first: from here on, layOut has a partition that moves here adopted
	for _, p := range g.e.parts {
		if p.group.Load() == g {
			g.adopt(p)
		}
	}
	if g.e.watching.Load() {
		g.addWatch(&watch{})
	}
}

// adopt has the copies of a partition subscribed and compared.
func (g *group) adopt(p *partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.mirrors {
		m.subscribed = false
		m.counting.Store(false)           // the group whose list it was in may have ended
		if m.ch != nil || m.granted > 0 { // else the Fetch that waits loads it
			g.e.refresh(m, whyReconnect)
		}
	}
}

func (g *group) onMessage(msg rueidis.PubSubMessage) {
	g.e.stats.received.Add(1)
	p, name, ok := g.e.locate(msg.Channel)
	if !ok {
		return
	}
	if name == "" {
		g.e.announce(msg.Message)
		return
	}
	if ev, ok := parseEvent(msg.Message); ok {
		g.e.receive(p, name, ev)
	}
}

// onSubscription notices that a Cluster has ended a subscription because the slot has
// moved; or perhaps not: a master that is told again that a slot is its own ends them, too.
func (g *group) onSubscription(s rueidis.PubSubSubscription) {
	if s.Kind != "sunsubscribe" {
		return
	}
	g.e.relayout()
	p, name, ok := g.e.locate(s.Channel)
	switch {
	case !ok || p.group.Load() != g: // whoever serves it now has subscribed
	case name != "":
		g.subscribeAgain(p, name)
	case g.e.watching.Load():
		g.addWatch(&watch{})
	}
}

func (g *group) subscribeAgain(p *partition, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.mirrors[name]; m != nil && m.subscribed {
		m.subscribed = false
		g.e.refresh(m, whyReconnect)
	}
}

// paced makes one round trip about n channels and adapts the batch size to the time it
// took. When Redis comes back, all nodes compare all their copies at once: with full
// batches none would have its answer in time, and each would begin again.
func (g *group) paced(conn rueidis.DedicatedClient, b *batch, n int) ([]rueidis.RedisResult, error) {
	began := time.Now()
	results, err := g.do(conn, b)
	switch took := time.Since(began); {
	case err != nil:
		g.batch = max(g.batch/4, leastBatch)
	case took > g.e.opts.Timeout/4:
		g.batch = max(g.batch/2, leastBatch)
	case took < g.e.opts.Timeout/16 && n >= g.batch:
		g.batch = min(g.batch*2, groupBatch)
	}
	return results, err
}

// putOffFor is how long comparisons and counts wait after Redis has refused one.
const putOffFor = 500 * time.Millisecond

// refusedOnly reports an error that says nothing of the connection: Redis answers, and
// carries nothing out at present.
func refusedOnly(err error) bool {
	c, _ := classOf(err)
	return c == classLater || c == classMoving || c == classRole || c == classRefuses || c == classMemory
}

// do makes one round trip and returns the answers to the batch's steps. An error means
// that the connection must be given up. What Redis refuses at present has its error in
// the results only.
func (g *group) do(conn rueidis.DedicatedClient, b *batch) ([]rueidis.RedisResult, error) {
	ctx, cancel := g.e.deadline()
	defer cancel()
	began := time.Now()
	results := send(ctx, conn, b.all()...)
	g.e.stats.pubsub.add(time.Since(began))
	steps := results[len(results)-len(b.steps):]
	repeatForgotten(ctx, conn, b.calls, steps)
	for i, r := range results {
		err := r.Error()
		if err == nil || refusedOnly(err) && i >= len(results)-len(steps) {
			continue
		}
		g.e.relayout() // a Cluster may have moved the slot
		return nil, err
	}
	return steps, nil
}

// failFetches answers those who wait, since there is no connection.
func (g *group) failFetches() {
	g.mu.Lock()
	fetches, watches := g.fetches, g.watches
	g.fetches, g.watches = nil, nil
	g.mu.Unlock()
	for _, f := range fetches {
		g.e.endFetch(f, channel.ErrUnavailable)
	}
	for _, w := range watches {
		w.finish(channel.ErrUnavailable)
	}
}

// close ends the group. Its partitions have another group by then.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	close(g.stop)
	for _, l := range g.lanes {
		l.close()
	}
}
