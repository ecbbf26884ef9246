package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
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
	about  []nodeStatus
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
	return []string{e.opts.Prefix + "{nodes}seen", e.opts.Prefix + "{nodes}about"}
}

// beat sends a heartbeat. If Redis does not know this node any more (another node has
// taken it for dead, or FLUSHALL), everything is compared.
func (e *Engine) beat() error {
	ctx, cancel := e.deadline()
	defer cancel()
	text, err := json.Marshal(nodeStatus{
		Node: e.node, Copies: e.hub.Channels(), Subscribers: e.hub.Subscribers(), About: e.opts.About,
	})
	if err != nil {
		return err
	}
	values, err := e.run(ctx, heartbeatScript, e.nodeKeys(), e.node, string(text),
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
	e.nodes.learn(living, about)
	if unknown == 1 {
		e.compareAll()
	}
	if rank, _ := e.nodes.rank(e.node); rank == 0 {
		for _, node := range dead {
			e.bury(node)
		}
	}
	return e.census(ctx)
}

func (n *nodes) learn(living, about []string) {
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
	n.living, n.about = living, list
	n.mu.Unlock()
}

// compareAll has every copy compared with Redis.
func (e *Engine) compareAll() {
	for _, p := range e.parts {
		p.mu.Lock()
		for _, m := range p.mirrors {
			if m.live {
				e.refresh(m)
			}
		}
		p.mu.Unlock()
	}
}

// bury takes a dead node's subscribers off the channels. The next heartbeats repeat it
// until it has succeeded.
func (e *Engine) bury(node string) {
	e.log.Warn("redis: a node is dead: no heartbeat within node_timeout", "node", node)
	if err := e.forget(node, e.quiet); err != nil {
		e.log.Warn("redis: the counts of a dead node are not removed yet", "node", node, "error", err)
	}
}

var errNoTime = errors.New("there is no time left")

// forget takes a node out of Redis, unless stop is closed first.
func (e *Engine) forget(node string, stop <-chan struct{}) error {
	for _, p := range e.parts {
		for left := int64(1); left > 0; {
			select {
			case <-stop:
				return errNoTime
			default:
			}
			ctx, cancel := e.deadline()
			var err error
			left, err = e.run(ctx, forgetScript, []string{p.due},
				node, millis(e.hub.Limits().Timeout), itoa(forgetSlice)).AsInt64()
			cancel()
			if err != nil {
				return err
			}
		}
	}
	ctx, cancel := e.deadline()
	defer cancel()
	b, keys := e.client.B(), e.nodeKeys()
	return firstError(e.client.DoMulti(ctx, b.Zrem().Key(keys[0]).Member(node).Build(),
		b.Hdel().Key(keys[1]).Field(node).Build()))
}

// leave takes this node out of Redis when it stops, within the time of one call. What it
// does not manage, the other nodes do after node_timeout.
func (e *Engine) leave() {
	if !e.up() {
		return
	}
	ctx, cancel := e.deadline()
	defer cancel()
	if err := e.forget(e.node, ctx.Done()); err != nil {
		e.log.Warn("redis: this node could not remove its counts; the others will", "error", err)
	}
}

func (e *Engine) nodeLoop() {
	every(e.quiet, e.opts.NodeTimeout/beatsPerTimeout, func() {
		if err := e.beat(); err != nil {
			e.log.Debug("redis", "error", err)
		}
	})
}

// sweepLoop frees the expired channels in this node's share of the partitions.
func (e *Engine) sweepLoop() { every(e.quiet, sweepInterval, e.sweep) }

// every calls f in each interval until stop is closed.
func every(stop <-chan struct{}, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
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
	for i := rank; i < partitions; i += of {
		mine = append(mine, e.parts[i])
	}
	for round := 0; round < sweepRounds && len(mine) > 0; round++ {
		ctx, cancel := e.deadline()
		results := e.sweepOnce(ctx, mine)
		var more []*partition
		for i, r := range results {
			n, err := r.AsInt64()
			if noScript(err) {
				_ = e.loadScripts(ctx) // for the next turn
			}
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
	commands := make([]rueidis.Completed, len(parts))
	for i, p := range parts {
		commands[i] = sweepScript.command(e.client.B(), []string{p.due}, e.publish, itoa(sweepSlice), e.keepFor)
	}
	return e.client.DoMulti(ctx, commands...)
}
