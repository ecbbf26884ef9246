package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

const (
	// beatsPerTimeout is the number of heartbeats in each node_timeout.
	beatsPerTimeout = 5
	// sweepInterval is how often expired channels are looked for: a channel must be freed
	// within a second after its time.
	sweepInterval = 250 * time.Millisecond
	// sweepSlice and forgetSlice bound the channels of one script call.
	sweepSlice  = 100
	forgetSlice = 100
	// sweepRounds bounds the script calls for one partition in one turn.
	sweepRounds = 50
)

// nodes are the living nodes, as of the last heartbeat.
type nodes struct {
	mu     sync.Mutex
	living []string // sorted
	known  []string // the living, and those who have been silent for long
	about  []nodeStatus

	beaten time.Time // when the last answered heartbeat was sent; only beat uses it
}

// nodeStatus is what a node publishes about itself.
type nodeStatus struct {
	Node        string            `json:"node"`
	Copies      int               `json:"copies"`
	Subscribers int               `json:"subscribers"`
	About       map[string]string `json:"about,omitempty"`
}

func (n *nodes) list() []nodeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.about)
}

// rank is this node's place among the living ones, and their number.
func (n *nodes) rank(node string) (rank, of int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, found := slices.BinarySearch(n.living, node)
	if !found {
		return 0, 1 // alone, as far as it knows
	}
	return i, len(n.living)
}

func (e *Engine) nodeKeys() []string {
	return []string{e.opts.Prefix + "{nodes}beats", e.opts.Prefix + "{nodes}status"}
}

// oldNodes is where the nodes of version 0.1 have their heartbeats.
func (e *Engine) oldNodes() string { return e.opts.Prefix + "{nodes}seen" }

// oldPatience is how long a node of version 0.1 must have been silent, so that it has not
// only lost its connection for a moment.
const oldPatience = time.Minute

// refuseOld is an error while nodes of version 0.1 use these channels. They know no end, no
// ids and no classes, so together neither version could keep what it says. The channels
// that they leave behind are taken over.
func (e *Engine) refuseOld(ctx context.Context) error {
	old, err := e.run(ctx, versionScript, []string{e.oldNodes()}, millis(oldPatience)).AsStrSlice()
	switch {
	case err != nil:
		return fmt.Errorf("heartbeat: %w", err)
	case len(old) > 0:
		return fmt.Errorf("nodes of version 0.1 use these channels, or did so within the last %v: %s; two versions cannot share them: stop those nodes first, or give the new ones another prefix",
			oldPatience, strings.Join(old, ", "))
	}
	return nil
}

// beat sends a heartbeat. If Redis does not know this node any more (another node has
// taken it for dead, or FLUSHALL), everything is compared; so it is when the answer to the
// heartbeat that would have told it may be lost.
func (e *Engine) beat() error {
	began := time.Now()
	ctx, cancel := e.deadline()
	defer cancel()
	text, err := json.Marshal(nodeStatus{
		Node: e.node, Copies: e.hub.Channels(), Subscribers: e.hub.Subscribers(), About: e.opts.About,
	})
	if err != nil {
		return err
	}
	values, err := e.run(ctx, heartbeatScript, append(e.nodeKeys(), e.oldNodes()), e.node, string(text),
		millis(e.opts.NodeTimeout), e.keepFor).ToArray()
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if len(values) < 4 {
		return errShape
	}
	unknown, _ := values[0].AsInt64()
	living, err := values[1].AsStrSlice()
	if err != nil {
		return err
	}
	about, err := values[2].AsStrSlice()
	if err != nil {
		return err
	}
	dead, err := values[3].AsStrSlice()
	if err != nil {
		return err
	}
	e.nodes.learn(living, about, dead)
	if unknown == 1 || !e.nodes.beaten.IsZero() && time.Since(e.nodes.beaten) > e.opts.NodeTimeout {
		e.compareAll()
	}
	e.nodes.beaten = began
	if rank, _ := e.nodes.rank(e.node); rank == 0 && len(dead) > 0 {
		select {
		case e.dead <- dead:
		default: // the last ones are not done; the next heartbeat names these again
		}
	}
	return e.census(ctx)
}

func (n *nodes) learn(living, about, dead []string) {
	var list []nodeStatus
	for i, node := range living {
		s := nodeStatus{Node: node}
		if i < len(about) {
			_ = json.Unmarshal([]byte(about[i]), &s) // of another version: only the name is shown
		}
		list = append(list, s)
	}
	slices.Sort(living)
	slices.SortFunc(list, func(a, b nodeStatus) int {
		if a.Node < b.Node {
			return -1
		}
		return 1
	})
	n.mu.Lock()
	n.living, n.about, n.known = living, list, slices.Concat(living, dead)
	n.mu.Unlock()
}

// compareAll has every copy compared with Redis.
func (e *Engine) compareAll() {
	for _, p := range e.parts {
		p.mu.Lock()
		for _, m := range p.mirrors {
			if m.live {
				e.refresh(m, whyUnknown)
			}
		}
		p.mu.Unlock()
	}
}

// buryLoop takes the subscribers of dead nodes off the channels. It has a goroutine of its
// own, because it may take long, and this node's heartbeats must not wait for it. The
// next heartbeats repeat it until it has succeeded.
func (e *Engine) buryLoop() {
	tick := e.ticker(e.opts.NodeTimeout)
	defer tick.Stop()
	var strangers []string
	for {
		select {
		case <-e.quiet:
			return
		case nodes := <-e.dead:
			for _, node := range nodes {
				e.bury(node)
			}
		case <-tick.C:
			before := strangers
			strangers = e.strangers()
			for _, node := range strangers {
				if slices.Contains(before, node) {
					e.bury(node)
				}
			}
		}
	}
}

// strangers are nodes that have counts and are in no list of nodes: they came back to life
// for a moment after they had been buried, or a fail-over has brought their counts back.
// A living node may be one until its next heartbeat, so only those found twice are buried.
func (e *Engine) strangers() (list []string) {
	if rank, _ := e.nodes.rank(e.node); rank != 0 {
		return nil
	}
	ctx, cancel := e.deadline()
	defer cancel()
	commands := make([]rueidis.Completed, len(e.parts))
	for i, p := range e.parts {
		commands[i] = e.client.B().Hkeys().Key(p.base + "ns").Build()
	}
	e.nodes.mu.Lock()
	known := e.nodes.known
	e.nodes.mu.Unlock()
	for _, r := range send(ctx, e.client, commands...) {
		names, _ := r.AsStrSlice() // what fails is looked at again
		for _, name := range names {
			if !slices.Contains(known, name) && !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

func (e *Engine) bury(node string) {
	e.log.Warn("redis: a node is dead: no heartbeat within node_timeout", "node", node)
	if err := e.forget(e.life, node); err != nil && !ended(e.quiet) {
		e.log.Warn("redis: the counts of a dead node are not removed yet", "node", node, "error", err)
	}
}

// forget takes a node out of Redis. A round trip covers all partitions; a node with few
// channels takes two. Each has the time of one call, within ctx.
func (e *Engine) forget(ctx context.Context, node string) error {
	for parts := e.parts; len(parts) > 0; {
		if ended(e.quiet) && node != e.node {
			return channel.ErrStopped
		}
		var more []*partition
		results, err := e.forgetSome(ctx, parts, node)
		for i, left := range results {
			if left > 0 {
				more = append(more, parts[i])
			}
		}
		if err != nil {
			return err
		}
		parts = more
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	b, keys := e.client.B(), e.nodeKeys()
	return firstError(send(ctx, e.client, b.Zrem().Key(keys[0]).Member(node).Build(),
		b.Hdel().Key(keys[1]).Field(node).Build()))
}

// forgetSome returns how many channels of the node are left in each partition.
func (e *Engine) forgetSome(ctx context.Context, parts []*partition, node string) (left []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	// Should the node live after all, it has the time of several heartbeats to count its
	// subscribers again before their channels are freed.
	var least time.Duration
	if node != e.node {
		least = e.opts.NodeTimeout
	}
	args := []string{node, millis(least), itoa(forgetSlice), millis(e.hub.Limits().Timeout)}
	calls := make([]scriptCall, len(parts))
	for i, p := range parts {
		calls[i] = scriptCall{forgetScript, p.keys(), args}
	}
	for _, r := range runScripts(ctx, e.client, calls) {
		n, err := r.AsInt64()
		if err != nil {
			return nil, err
		}
		left = append(left, n)
	}
	return left, nil
}

// leave takes this node out of Redis when it stops. What it does not manage, the other
// nodes do after node_timeout.
func (e *Engine) leave(ctx context.Context) {
	if err := e.forget(ctx, e.node); err != nil {
		e.log.Warn("redis: this node could not remove its counts; the others will", "error", err)
	}
}

func (e *Engine) nodeLoop() {
	e.every(e.quiet, e.opts.NodeTimeout/beatsPerTimeout, func() {
		err := e.beat()
		// The calls, and the pub/sub connection, find out for themselves that it is broken; a
		// Cluster's other masters may serve.
		if c, word := classOf(err); c.stops() && c != classBroken && !e.cluster {
			e.lanesRefuse(err, c, word)
		}
		if !ended(e.quiet) {
			e.lookFull()
		}
	})
}

// lanesRefuse has all lanes refuse calls: a node without calls notices, too, that Redis
// does not serve.
func (e *Engine) lanesRefuse(err error, c class, word string) {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	for _, g := range e.groups {
		g.refuseCalls(err, c, word)
	}
}

// sweepLoop frees the expired channels in this node's share of the partitions.
func (e *Engine) sweepLoop() { e.every(e.quiet, sweepInterval, e.sweep) }

// ticker begins a little later than the one before, so that the loops of a node do not
// all wake at the same moments.
func (e *Engine) ticker(interval time.Duration) *time.Ticker {
	time.Sleep(time.Duration(e.tickers.Add(1)%64) * 17 * time.Microsecond)
	return time.NewTicker(interval)
}

// around is d or up to an eighth more, so that the nodes that have lost one Redis at the
// same moment do not all come back at the same moment.
func (e *Engine) around(d time.Duration) time.Duration {
	return d + time.Duration(e.opts.seams.random()%uint64(d/8))
}

// every calls f in each interval until stop is closed.
func (e *Engine) every(stop <-chan struct{}, interval time.Duration, f func()) {
	tick := e.ticker(interval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		f()
	}
}

func (e *Engine) sweep() {
	rank, of := e.nodes.rank(e.node)
	var mine []*partition
	for i := rank; i < len(e.parts); i += of {
		mine = append(mine, e.parts[i])
	}
	for round := 0; round < sweepRounds && len(mine) > 0 && !ended(e.quiet); round++ {
		ctx, cancel := e.deadline()
		results := e.sweepOnce(ctx, mine)
		var more []*partition
		for i, r := range results {
			n, _ := r.AsInt64() // what fails has its next turn soon
			e.room.made(-n)
			if n == sweepSlice {
				more = append(more, mine[i])
			}
		}
		cancel()
		mine = more
	}
}

func (e *Engine) sweepOnce(ctx context.Context, parts []*partition) []rueidis.RedisResult {
	calls := make([]scriptCall, len(parts))
	for i, p := range parts {
		calls[i] = scriptCall{sweepScript, p.keys(), []string{e.publish, itoa(sweepSlice), e.keepFor}}
	}
	return runScripts(ctx, e.client, calls)
}
