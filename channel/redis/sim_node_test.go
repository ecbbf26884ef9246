package redis

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"icomet/channel"
)

// simNode is one node of the simulation, with its subscribers.
type simNode struct {
	*Engine
	w      *world
	name   string
	hub    *channel.Hub
	sink   *sink
	subs   []*simSub
	joins  []*simJoin
	dead   bool
	breaks int // of its pub/sub connection
	ended  chan struct{}
}

// simSub is one subscriber that stays.
type simSub struct {
	n      *simNode
	name   string
	epoch  string // of the life of the channel that it has joined
	from   int64  // the first seq that it has to get
	joined time.Time
	ch     *channel.Channel
	next   int64
	got    map[string]int   // content → times
	have   map[int64]string // what it has had, by seq; while its position holds
	told   []simGap
	breaks int // the node's, when it joined
	moving bool
	closed bool // the channel was closed
	lost   bool // it could not join again, and has gone as a client does
}

// simGap is a stretch of seqs that the subscriber was told it will not get.
type simGap struct{ from, to int64 }

// simJoin is a Join that waits for its Fetch.
type simJoin struct {
	n       *simNode
	j       channel.Join
	sub     *simSub    // nil: a poll, or one that leaves at once
	client  *simClient // whose poll it is; nil: of nobody in particular
	renamed uint32     // the subscriber misses nothing if this is the channel's epoch
	call    *simCall
}

// simCall is one call of an engine.
type simCall struct {
	what    string
	node    *simNode
	content string // of a publish
	name    string
	id      bool  // the publish may be repeated
	onlyIf  int64 // the seq that it must get
	began   time.Time
	ended   time.Time // zero: not answered
	result  channel.Result
	answers int
	slow    bool // not bound by the engine's timeout
	healthy bool // it began, and so far has run, without a fault
}

func (w *world) call(n *simNode, what string, do func(channel.Done)) *simCall {
	c := &simCall{what: what, node: n, began: time.Now(), healthy: w.truth.healthy()}
	w.calls = append(w.calls, c)
	do(doneFunc(func(r channel.Result) {
		w.mu.Lock()
		w.answers = append(w.answers, simAnswer{c, r, time.Now()})
		w.mu.Unlock()
	}))
	return c
}

// simAnswer is what a Done was called with.
type simAnswer struct {
	call   *simCall
	result channel.Result
	at     time.Time
}

// takeAnswers writes the answers that have come into their calls.
func (w *world) takeAnswers() {
	w.mu.Lock()
	list := w.answers
	w.answers = nil
	w.mu.Unlock()
	for _, a := range list {
		a.call.answers++
		a.call.result, a.call.ended = a.result, a.at
	}
}

func (w *world) options(name string) Options {
	o := Options{
		Addresses: []string{"sim:6379"}, Prefix: "s:", Pool: 1 + w.rnd.IntN(2), DialTimeout: time.Second,
		Timeout: simTimeout, NodeTimeout: 5 * time.Second, CheckInterval: 3 * time.Second,
	}
	random := rand.New(rand.NewPCG(w.rnd.Uint64(), 2))
	var turn = make(chan struct{}, 1)
	o.seams = seams{
		dial: w.dial(name), partitions: w.partitions, node: name, small: true,
		random: func() uint64 {
			turn <- struct{}{}
			defer func() { <-turn }()
			return random.Uint64()
		},
	}
	return o
}

// startNode starts a node; the scheduler serves it meanwhile.
func (w *world) startNode() *simNode {
	n := &simNode{
		w: w, name: fmt.Sprint("n", len(w.nodes)), hub: channel.NewHub(w.truth.limits), sink: new(sink),
		ended: make(chan struct{}),
	}
	n.hub.AddSink(n.sink)
	w.nodes = append(w.nodes, n)
	o := w.options(n.name)
	o.Hub, o.Logger = n.hub, slog.New(slog.NewTextHandler(io.Discard, nil))
	type start struct {
		e   *Engine
		err error
	}
	started := make(chan start, 1)
	go func() {
		e, err := New(o)
		started <- start{e, err}
	}()
	for {
		w.advance(time.Millisecond)
		select {
		case s := <-started:
			if s.err != nil {
				n.dead = true
				close(n.ended)
				w.note("%s does not start: %v", n.name, s.err)
				return n
			}
			n.Engine = s.e
			w.note("%s has started", n.name)
			go n.tick()
			return n
		default:
		}
	}
}

func (n *simNode) tick() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.ended:
			return
		case <-tick.C:
			n.hub.Tick(time.Since(n.w.start))
		}
	}
}

// stop ends a node in order. kill: its connections end first, as when a process dies.
func (w *world) stop(n *simNode, kill bool) (took time.Duration) {
	if n.dead {
		return 0
	}
	if kill {
		w.truth.faulty("a node was killed")
		for _, l := range w.srv.Links() {
			if l.Client == n.name {
				w.cut(l)
			}
		}
		w.away.Store(n.name, true)
	}
	n.dead, n.subs, n.joins = true, nil, nil
	began, stopped := time.Now(), make(chan struct{})
	go func() {
		n.Stop()
		close(stopped)
	}()
	for {
		select {
		case <-stopped:
			close(n.ended)
			return time.Since(began)
		default:
		}
		if kill {
			// What a dead node would still do is stopped by its dead connections; time for
			// the others goes on only as they need it.
			w.advance(10 * time.Millisecond)
			continue
		}
		w.advance(10 * time.Millisecond)
		if time.Since(began) > 5*time.Minute {
			w.fail("%s does not stop", n.name)
			return time.Since(began)
		}
	}
}

// subscribe begins a subscription, as a loop of the server does.
func (w *world) subscribe(n *simNode, name string, since int64) {
	sub := &simSub{n: n, name: name, got: make(map[string]int), have: make(map[int64]string)}
	n.join(&simJoin{n: n, j: channel.Join{Name: []byte(name), Since: since}, sub: sub})
}

// poll asks once, like a long poll that is answered at once or given up.
func (w *world) poll(n *simNode, name string, since int64) {
	n.join(&simJoin{n: n, j: channel.Join{Name: []byte(name), Since: since, OneShot: true}})
}

func (n *simNode) join(p *simJoin) {
	joined, err := n.hub.Join(&p.j, nil)
	if p.j.Fetched && p.call != nil {
		n.Release(p.j.Name)
	}
	switch {
	case errors.Is(err, channel.ErrFetch):
		p.call = n.w.call(n, "fetch "+string(p.j.Name), func(d channel.Done) { n.Fetch(&p.j, d) })
		n.joins = append(n.joins, p)
	case err != nil:
		n.w.note("%s join %s: %v", n.name, p.j.Name, err)
		n.gaveUp(p)
	case p.sub == nil:
		if joined.Subscribed {
			n.leaveHub(joined.Channel, nil)
		}
		if p.client != nil {
			p.client.answered(n, &p.j, &joined)
		}
	default:
		n.joined(p, joined)
	}
}

func (n *simNode) gaveUp(p *simJoin) {
	if p.sub == nil {
		return
	}
	p.sub.lost = true
	n.subs = slices.DeleteFunc(n.subs, func(s *simSub) bool { return s == p.sub })
}

func (n *simNode) joined(p *simJoin, j channel.Joined) {
	s := p.sub
	first := s.ch == nil && !s.moving
	s.ch = j.Channel
	from := j.Next - int64(len(j.Replay))
	epoch, live := n.copyOf(s.name)
	if first {
		s.from, s.epoch, s.joined, s.breaks = from, epoch, time.Now(), n.broken()
		s.next = from
		n.subs = append(n.subs, s)
		n.w.note("%s joins %s at %d of %s (live %v)", n.name, s.name, from, epoch, live)
	} else {
		n.w.note("%s joins %s again at %d of %s", n.name, s.name, from, epoch)
		n.w.truth.moved(s, from, epoch, p.renamed != 0 && p.renamed == j.Channel.Epoch())
	}
	if s.moving = false; !live {
		s.breaks-- // the copy is behind a break that came before
	}
	for _, m := range j.Replay {
		n.message(s, m)
	}
	if j.Ended {
		s.closed = true
		n.forgetSub(s)
	}
}

// copyOf is the epoch of a node's copy, and whether events are applied to it.
func (n *simNode) copyOf(name string) (epoch string, live bool) {
	p := n.partition([]byte(name))
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.mirrors[name]; m != nil {
		return m.epoch, m.live && n.groups[""].isLive()
	}
	return "", false
}

// broken counts the ends of its pub/sub connection. One that the node itself has given up
// counts while there are faults; Redis may not know of it yet.
func (n *simNode) broken() int {
	if n.w.truth.sick {
		return n.breaks + int(n.stats.reconnects.Load())
	}
	return n.breaks
}

func (n *simNode) message(s *simSub, m channel.Message) {
	switch {
	case m.Seq < s.next:
	case m.Seq > s.next:
		n.w.fail("%s on %s gets seq %d, %d was next, and nobody told it", s.name, n.name, m.Seq, s.next)
	default:
		s.next++
		s.have[m.Seq] = m.Content
		s.got[m.Content]++
		if s.got[m.Content] > 1 {
			n.w.fail("%s on %s gets %q twice", s.name, n.name, m.Content)
		}
	}
}

func (n *simNode) leaveHub(ch *channel.Channel, except *simSub) {
	last := true
	for _, s := range n.subs {
		last = last && (s == except || s.ch != ch)
	}
	n.hub.Leave(ch, 0, last)
}

// follow lets the loops of all nodes work off what has come.
func (w *world) follow() {
	w.takeAnswers()
	for _, n := range w.living() {
		if n.Engine != nil {
			n.follow()
		}
	}
	w.truth.answered()
}

func (n *simNode) follow() {
	var wait, ready []*simJoin
	for _, p := range n.joins {
		if p.call.ended.IsZero() {
			wait = append(wait, p)
		} else {
			ready = append(ready, p)
		}
	}
	n.joins = wait
	for _, p := range ready {
		if p.call.result.Err != nil {
			n.w.note("%s fetch %s: %v", n.name, p.j.Name, p.call.result.Err)
			n.gaveUp(p)
			continue
		}
		p.j.Fetched = true
		n.join(p)
	}
	n.sink.mu.Lock()
	inbox := n.sink.inbox
	n.sink.inbox = nil
	n.sink.mu.Unlock()
	for _, d := range inbox {
		for _, s := range slices.Clone(n.subs) {
			if s.ch == d.ch && !s.moving && !s.closed {
				n.delivery(s, d.m)
			}
		}
	}
}

func (n *simNode) delivery(s *simSub, m channel.Message) {
	switch m.Type {
	case channel.Closed:
		n.w.truth.ended(s)
		n.endSub(s)
	case channel.Final:
		n.message(s, m)
		n.w.truth.finished(s, m.Seq+1)
		n.endSub(s)
	case channel.Ended:
		n.w.truth.finished(s, m.Seq)
		n.endSub(s)
	case channel.Moved:
		n.w.note("%s: %s moves from %d to %d", n.name, s.name, s.next, m.Seq)
		s.moving = true
		n.leaveHub(s.ch, s)
		n.join(&simJoin{n: n, j: channel.Join{Name: []byte(s.name), Since: m.Seq, Fetched: true}, sub: s, renamed: m.NewEpoch()})
	default:
		n.message(s, m)
	}
}
