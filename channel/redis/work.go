package redis

import (
	"slices"
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

// step is one script call of a batch, with what its answer is for.
type step struct {
	m     *mirror
	fetch *fetch    // join.lua for a subscriber
	tail  bool      // join.lua: only the history from the copy's next on was asked for
	asked known     // join.lua: the copy when it was asked
	syncs []*mirror // sync.lua: copies of one partition
	knew  []known   // sync.lua: each copy when it was asked

	all     bool // sync.lua: it was asked for the last copies of its partition
	counted int  // all: how many channels of the partition Redis should count for this node
	strays  bool // counted.lua
	part    *partition
}

// known is what a node knew of a channel when it asked Redis. An answer is judged against
// it, because events go on while the answer is under way.
type known struct {
	life  int
	next  int64
	heard int // what it has held before is part of the answer
	ended bool
}

func (m *mirror) known() known { return known{m.life, m.next, m.heard, m.ended} }

// batch is one round trip on the pub/sub connection: first the unsubscriptions, then the
// new subscriptions, then the scripts. So everything published after a script has run
// arrives behind its answer.
type batch struct {
	g        *group
	b        rueidis.Builder
	commands []rueidis.Completed
	steps    []step
	calls    []scriptCall
	subs     grouped[string]
}

// work makes one round trip out of the queued work, and reports whether more is queued.
func (g *group) work(conn rueidis.DedicatedClient) (more bool, err error) {
	b := &batch{g: g, b: conn.B()}
	g.mu.Lock()
	if g.e.signingOff.Load() {
		g.stale, g.counts = nil, nil // both send counts to Redis, from which this node is being taken out
	}
	fetches, stale, counts := g.fetches, g.stale, g.counts
	leaving, watches, strays := g.leaving, g.watches, g.strays
	n, k, c := min(len(fetches), g.batch), min(len(stale), g.batch), min(len(counts), g.batch)
	if time.Now().Before(g.putOff) {
		k, c = 0, 0
	}
	g.fetches, g.stale, g.counts = fetches[n:], stale[k:], counts[c:]
	g.leaving, g.watches, g.strays = nil, nil, nil
	more = len(g.fetches) > 0 || k+c > 0 && len(g.stale)+len(g.counts) > 0
	g.mu.Unlock()
	fetches, stale, counts = fetches[:n:n], stale[:k:k], counts[:c:c]
	g.setFlying(fetches)
	defer g.setFlying(nil)

	b.unsubscribe(leaving)
	b.count(counts)
	for _, p := range strays {
		b.add(step{strays: true}, countedScript, p, []string{g.e.node})
	}
	for _, m := range stale {
		b.compare(m)
	}
	if len(fetches) > 0 && g.e.near() {
		ctx, cancel := g.e.deadline()
		_ = g.e.census(ctx) // if it fails, the last count is used
		cancel()
	}
	var mine []*fetch
	for _, f := range fetches {
		if f.m.part.group.Load() != g { // the partition has moved to another master
			g.e.queueFetch(f)
			continue
		}
		b.fetch(f)
		mine = append(mine, f)
	}
	fetches = mine
	b.watch(watches)
	if len(b.commands)+len(b.calls)+len(b.subs.lists) == 0 {
		finishAll(watches)
		return more, nil
	}
	results, err := g.paced(conn, b, max(n, k, c))
	if err != nil {
		g.undo(fetches, counts, watches)
		return false, err
	}
	for i := range b.steps {
		err := b.steps[i].finish(g.e, results[i])
		if refusedOnly(err) {
			g.refused(&b.steps[i], err)
		} else if err != nil {
			if f := b.steps[i].fetch; f != nil { // refused, but Redis may have counted it: see undo
				g.addCount(f.m)
			}
			g.undo(fetchesOf(b.steps[i+1:]), counts, watches)
			return more, err
		}
	}
	finishAll(watches)
	return more, nil
}

func finishAll(watches []*watch) {
	for _, w := range watches {
		w.finish(nil)
	}
}

// refused handles a step that Redis refuses at present. A subscriber is refused; the rest
// is tried again later. The connection stays, for the others.
func (g *group) refused(s *step, err error) {
	c, word := classOf(err)
	g.e.stats.count(word)
	g.putOff = time.Now().Add(putOffFor)
	switch c {
	case classMoving:
	case classMemory:
		g.setFull(true, err)
	default:
		g.refuseCalls(err, c, word)
	}
	switch {
	case s.fetch != nil || s.strays:
	case s.syncs != nil || s.all:
		for _, m := range s.syncs {
			g.addCount(m)
		}
	default:
		g.mu.Lock()
		g.stale = append(g.stale, s.m)
		g.mu.Unlock()
	}
}

func fetchesOf(steps []step) (list []*fetch) {
	for _, s := range steps {
		if s.fetch != nil {
			list = append(list, s.fetch)
		}
	}
	return list
}

// undo answers and requeues the work of a connection that has failed. The next connection
// compares every copy, so only waiting calls and counts are left to do. Redis may have
// counted a subscriber that is refused here, so its count is sent again, even if the
// mirror has gone.
func (g *group) undo(fetches []*fetch, counts []*mirror, watches []*watch) {
	for _, f := range fetches {
		g.e.endFetch(f, channel.ErrUnavailable)
		g.addCount(f.m)
	}
	for _, w := range watches {
		w.finish(channel.ErrUnavailable)
	}
	for _, m := range counts {
		g.addCount(m)
	}
}

// all are the commands of the batch; the answers of the scripts are the last len(steps).
func (b *batch) all() []rueidis.Completed {
	for _, of := range b.subs.lists { // a Cluster needs one command for each slot
		if b.g.e.cluster {
			b.commands = append(b.commands, b.b.Ssubscribe().Channel(of.list...).Build())
		} else {
			b.commands = append(b.commands, b.b.Subscribe().Channel(of.list...).Build())
		}
	}
	for i := range b.calls {
		b.commands = append(b.commands, b.calls[i].bySHA(b.b))
	}
	return b.commands
}

// unsubscribe skips channels that somebody has subscribed to again.
func (b *batch) unsubscribe(list []subscription) {
	var parts grouped[string]
	for _, s := range list {
		s.part.mu.Lock()
		if s.part.mirrors[s.name] == nil {
			parts.add(s.part, s.part.state(s.name))
		}
		s.part.mu.Unlock()
	}
	for _, of := range parts.lists {
		b.drop(of.list)
	}
}

func (b *batch) drop(names []string) {
	if b.g.e.cluster {
		b.commands = append(b.commands, b.b.Sunsubscribe().Channel(names...).Build())
	} else {
		b.commands = append(b.commands, b.b.Unsubscribe().Channel(names...).Build())
	}
}

// subscribe adds a subscription, once. The partition's lock is held.
func (b *batch) subscribe(m *mirror) {
	if !m.subscribed {
		m.subscribed = true
		b.subs.add(m.part, m.part.state(m.name))
	}
}

// count sends the numbers of subscribers to Redis.
func (b *batch) count(list []*mirror) {
	var parts grouped[*mirror]
	for _, m := range list {
		m.counting.Store(false) // before counting: a later change puts it into the list again
		if now := m.part.group.Load(); now != b.g {
			now.addCount(m)
			continue
		}
		parts.add(m.part, m)
	}
	for _, of := range parts.lists {
		for ms := range slices.Chunk(of.list, syncBatch) {
			b.sync(of.part, ms, true)
		}
	}
}

func (b *batch) sync(p *partition, ms []*mirror, used bool) {
	e := b.g.e
	args := []string{e.node}
	knew := make([]known, 0, len(ms))
	p.mu.Lock()
	for _, m := range ms {
		knew = append(knew, m.known())
		n := 0
		if now := p.mirrors[m.name]; now != nil { // m, or its successor
			n = now.wanted(e.hub)
		}
		wait := "0"
		if used {
			wait = millis(e.hub.ClassOf([]byte(m.name)).Timeout)
		}
		args = append(args, m.name, itoa(n), wait)
	}
	p.mu.Unlock()
	b.add(step{syncs: ms, knew: knew}, syncScript, p, args)
}

func (b *batch) add(s step, script *script, p *partition, args []string) {
	s.part = p
	b.steps = append(b.steps, s)
	b.calls = append(b.calls, scriptCall{script, p.keys(), args})
}

// compare has a copy compared by join.lua.
func (b *batch) compare(m *mirror) {
	p := m.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mirrors[m.name] != m || m.live || p.group.Load() != b.g {
		return // dropped, compared already, or another group's by now
	}
	b.join(m, nil)
}

func (b *batch) fetch(f *fetch) {
	p := f.m.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.over {
		return
	}
	if !f.auth && !f.known && !f.existing && !f.kept {
		f.kept = b.g.e.keep()
	}
	b.join(f.m, f)
}

// join calls join.lua, for a subscriber (f) or, if f is nil, only for the copy. The
// partition's lock is held.
func (b *batch) join(m *mirror, f *fetch) {
	e := b.g.e
	class := e.hub.ClassOf([]byte(m.name))
	m.checkThere(e.hub)
	b.subscribe(m)
	may, add, needs, token := true, "0", false, ""
	if f != nil {
		may, add, needs, token = f.kept, "1", f.auth, f.token
	}
	b.add(step{m: m, fetch: f, tail: m.epoch != "" && !m.parted, asked: m.known()}, joinScript, m.part, []string{
		m.name, e.node, e.publish, e.newEpoch(), millis(class.Timeout), flag(may),
		m.epoch, itoa(m.firstWanted()), add, itoa(class.MaxSubscribers), flag(needs), token,
		itoa(m.wanted(e.hub)), e.keepFor, millis(class.BufferTTL), flag(m.parted),
	})
}

func (b *batch) watch(list []*watch) {
	for _, w := range list {
		if w.off && b.g.e.watching.Load() {
			continue
		}
		for _, p := range b.g.e.parts {
			if p.group.Load() != b.g {
				continue
			}
			if w.off {
				b.drop([]string{p.presence})
			} else {
				b.subs.add(p, p.presence)
			}
		}
	}
}
