package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"icomet/channel/redis/redissim"
)

// The simulation runs whole nodes against a Redis of the test's. The test's goroutine is
// the scheduler: it decides which bytes pass when, and nothing else happens between two of
// its decisions but what follows from the last one. Time is that of a synctest bubble.

// simTimeout is Options.Timeout.
const simTimeout = 800 * time.Millisecond

// simPartitions are fewer than in earnest, so that a sweep costs little.
const simPartitions = 4

// manyPartitions make what is done for one after the other long.
const manyPartitions = 64

// simScripts are the engine's scripts, compiled once.
var simScripts = func() map[string]*redissim.Script {
	out := make(map[string]*redissim.Script)
	for name, s := range map[string]*script{
		"publish": publishScript, "join": joinScript, "sync": syncScript, "sign": signScript, "clear": clearScript,
		"close": closeScript, "broadcast": broadcastScript, "info": infoScript, "sweep": sweepScript,
		"forget": forgetScript, "heartbeat": heartbeatScript, "counted": countedScript, "version": versionScript,
	} {
		compiled, err := redissim.Compile(name, s.text)
		if err != nil {
			panic(err)
		}
		out[s.sha] = compiled
	}
	return out
}()

// wire is what the scheduler has decided about one connection.
type wire struct {
	holdUp, holdDown bool // nothing passes in this direction
}

// world is one run of the simulation.
type world struct {
	rnd        *rand.Rand
	srv        *redissim.Server
	wires      map[*redissim.Link]*wire
	partitions int
	rtt        time.Duration // of every connection
	hung       bool          // Redis carries out nothing
	away       sync.Map      // nodes that reach nothing any more

	mu      sync.Mutex
	answers []simAnswer // not yet taken

	active chan struct{} // capacity 1: a client has written

	nodes   []*simNode
	clients []*simClient
	truth   truth
	calls   []*simCall
	next    int // number of the next publish's content

	start  time.Time
	steps  int
	trace  []string
	digest uint64 // of everything that has passed
	failed error  // the first violation
}

func newWorld(seed uint64) *world {
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 1)), srv: redissim.New(simScripts), wires: make(map[*redissim.Link]*wire),
		active: make(chan struct{}, 1), start: time.Now(),
	}
	w.srv.Skew = 30 * 365 * 24 * time.Hour // a bubble begins in 2000; today's times have a digit more
	w.truth.w = w
	w.truth.channels, w.truth.stored = make(map[string]*simChannel), make(map[string]int)
	w.truth.places, w.truth.acked = make(map[string]int), make(map[string]int)
	w.truth.beats, w.truth.gaps = make(map[string]time.Time), make(map[string]time.Duration)
	w.srv.Active = func() {
		select {
		case w.active <- struct{}{}:
		default:
		}
	}
	w.srv.Carried = w.truth.carried
	w.srv.Shortcut = func(name string, keys, _ []string) (any, bool) {
		// Most sweeps find nothing. The keys live for a day, so none has to be renewed.
		return int64(0), name == "sweep" && !w.srv.Due(keys[0])
	}
	w.srv.Ended = func(l *redissim.Link) {
		if n := w.node(l.Client); n != nil && l.PubSub() {
			n.breaks++
		}
	}
	w.srv.Down = func(client string) error {
		if _, away := w.away.Load(client); away {
			return errRefused
		}
		return nil
	}
	return w
}

var errRefused = errors.New("connection refused")

// dial is a node's way to Redis.
func (w *world) dial(node string) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	return func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return w.srv.Dial(ctx, node)
	}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8.3f ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, args...)
		w.note("VIOLATION: %v", w.failed)
	}
}

func (w *world) wire(l *redissim.Link) *wire {
	x := w.wires[l]
	if x == nil {
		x = new(wire)
		w.wires[l] = x
	}
	return x
}

// passage is one thing that may happen now.
type passage struct {
	link *redissim.Link
	up   bool
}

// due lists what may pass now, and when the next of the rest may.
func (w *world) due() (now []passage, next time.Time) {
	at := func(since time.Time) time.Time { return since.Add(w.rtt / 2) }
	consider := func(p passage, n int, since time.Time) {
		if n == 0 {
			return
		}
		when := at(since)
		if !when.After(time.Now()) {
			now = append(now, p)
		} else if next.IsZero() || when.Before(next) {
			next = when
		}
	}
	for _, l := range w.srv.Links() {
		x := w.wire(l)
		if n, since := l.Up(); !x.holdUp && !w.hung {
			consider(passage{l, true}, n, since)
		}
		if n, since := l.Down(); !x.holdDown {
			consider(passage{l, false}, n, since)
		}
	}
	return now, next
}

// settle lets pass what may, one thing after the other, until nothing happens by itself.
func (w *world) settle() (next time.Time) {
	for {
		synctest.Wait()
		w.follow()
		now, later := w.due()
		if len(now) == 0 {
			return later
		}
		w.pass(now[w.rnd.IntN(len(now))])
	}
}

// pass lets one thing pass: a piece of a request, or some of the answers.
func (w *world) pass(p passage) {
	h := fnv.New64a()
	if p.up {
		cut := 0
		if w.rnd.IntN(8) == 0 {
			cut = 1 + w.rnd.IntN(200)
		}
		n, _ := p.link.Up()
		fmt.Fprint(h, w.digest, "up", p.link.ID, n, cut)
		p.link.Deliver(cut)
	} else {
		n, _ := p.link.Down()
		if w.rnd.IntN(2) == 0 {
			n = 1 + w.rnd.IntN(n)
		}
		fmt.Fprint(h, w.digest, "down", p.link.ID, n)
		p.link.Hand(n)
	}
	w.digest = h.Sum64()
}

// advance lets time pass, and with it whatever happens by itself.
func (w *world) advance(d time.Duration) {
	end := time.Now().Add(d)
	for {
		next := w.settle()
		if !time.Now().Before(end) {
			return
		}
		if next.IsZero() || next.After(end) {
			next = end
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-w.active:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// cut ends one connection.
func (w *world) cut(l *redissim.Link) {
	delete(w.wires, l)
	l.Cut()
}

func (w *world) cutAll() {
	for _, l := range w.srv.Links() {
		w.cut(l)
	}
}

// heal takes all faults away.
func (w *world) heal() {
	w.hung, w.srv.Refuse = false, ""
	for _, x := range w.wires {
		*x = wire{}
	}
}

func (w *world) node(name string) *simNode {
	i := slices.IndexFunc(w.nodes, func(n *simNode) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return w.nodes[i]
}

// living are the nodes that have not been killed or stopped.
func (w *world) living() (out []*simNode) {
	for _, n := range w.nodes {
		if !n.dead {
			out = append(out, n)
		}
	}
	return out
}

func (w *world) pick() *simNode {
	l := w.living()
	return l[w.rnd.IntN(len(l))]
}
