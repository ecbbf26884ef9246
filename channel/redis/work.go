package redis

import (
	"github.com/redis/rueidis"

	"icomet/channel"
)

// step is one script of a batch and what its answer is for.
type step struct {
	m     *mirror
	fetch *fetch    // join.lua for a subscriber
	part  bool      // join.lua: only what is new to the copy was asked for
	next  int64     // join.lua: the copy's, when it was asked
	syncs []*mirror // sync.lua for some of one partition
	nexts []int64   // sync.lua: next of each copy when it was asked
}

// batch is one round trip on the pub/sub connection: first what is no longer wanted,
// then the new subscriptions, then the scripts: what is published after a script has
// run comes behind its answer.
type batch struct {
	g        *group
	b        rueidis.Builder
	commands []rueidis.Completed
	steps    []step // of the last len(steps) commands
	joins    []rueidis.Completed
	subs     map[*partition][]string
}

// work makes one round trip out of what waits, and reports whether more does.
func (g *group) work(conn rueidis.DedicatedClient) (more bool, err error) {
	b := &batch{g: g, b: conn.B(), subs: make(map[*partition][]string)}
	g.mu.Lock()
	if g.e.signingOff.Load() {
		g.stale, g.counts = nil, nil // both tell Redis counts, and this node's are taken out
	}
	fetches, stale, counts := g.fetches, g.stale, g.counts
	leaving, watches := g.leaving, g.watches
	n, k, c := min(len(fetches), g.batch), min(len(stale), g.batch), min(len(counts), g.batch)
	g.fetches, g.stale, g.counts = fetches[n:], stale[k:], counts[c:]
	g.leaving, g.watches = nil, nil
	more = len(g.fetches)+len(g.stale)+len(g.counts) > 0
	g.mu.Unlock()
	fetches, stale, counts = fetches[:n:n], stale[:k:k], counts[:c:c]

	b.unsubscribe(leaving)
	b.count(counts)
	for _, m := range stale {
		b.compare(m)
	}
	if len(fetches) > 0 && g.e.near() {
		ctx, cancel := g.e.deadline()
		_ = g.e.census(ctx) // without it, what is known counts
		cancel()
	}
	mine := fetches[:0]
	for _, f := range fetches {
		if f.m.part.group.Load() != g { // it has moved to another master
			g.e.queueFetch(f)
			continue
		}
		b.fetch(f)
		mine = append(mine, f)
	}
	fetches = mine
	b.watch(watches)
	if len(b.commands)+len(b.joins)+len(b.subs) == 0 {
		finishAll(watches)
		return more, nil
	}
	results, err := g.paced(conn, b.all(), max(n, k, c))
	if err != nil {
		g.undo(fetches, counts, watches)
		return false, err
	}
	results = results[len(results)-len(b.steps):]
	for i := range b.steps {
		err := b.steps[i].finish(g.e, results[i])
		if outOfMemory(err) {
			g.putOff(&b.steps[i], err)
		} else if err != nil {
			if f := b.steps[i].fetch; f != nil { // refused, and perhaps counted by Redis: see undo
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

// putOff: Redis has no memory for this step. A subscriber is refused; what is about the
// copies comes again with the next tick. The connection goes on serving the others.
func (g *group) putOff(s *step, err error) {
	switch {
	case s.fetch != nil:
		g.e.log.Error("redis refuses a subscriber", "error", err)
	case s.syncs != nil:
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

// undo is for a connection that has ended or is given up. The next connection compares
// every copy, so only the waiting Joins and the counts are left. Redis may have counted a
// subscriber that is refused here, so it is told the count again, although the mirror may
// have gone with the refusal.
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

func (b *batch) all() []rueidis.Completed {
	for _, names := range b.subs { // a Cluster wants one slot in each
		if b.g.e.cluster {
			b.commands = append(b.commands, b.b.Ssubscribe().Channel(names...).Build())
		} else {
			b.commands = append(b.commands, b.b.Subscribe().Channel(names...).Build())
		}
	}
	return append(b.commands, b.joins...)
}

// unsubscribe leaves out channels that have subscribers again.
func (b *batch) unsubscribe(list []subscription) {
	parts := make(map[*partition][]string)
	for _, s := range list {
		s.part.mu.Lock()
		if s.part.mirrors[s.name] == nil {
			parts[s.part] = append(parts[s.part], s.part.state(s.name))
		}
		s.part.mu.Unlock()
	}
	for _, names := range parts {
		b.drop(names)
	}
}

func (b *batch) drop(names []string) {
	if b.g.e.cluster {
		b.commands = append(b.commands, b.b.Sunsubscribe().Channel(names...).Build())
	} else {
		b.commands = append(b.commands, b.b.Unsubscribe().Channel(names...).Build())
	}
}

// subscribe belongs to the mirror's partition's lock.
func (b *batch) subscribe(m *mirror) {
	if !m.subscribed {
		m.subscribed = true
		b.subs[m.part] = append(b.subs[m.part], m.part.state(m.name))
	}
}

// count tells Redis how many subscribers each has.
func (b *batch) count(list []*mirror) {
	parts := make(map[*partition][]*mirror)
	for _, m := range list {
		m.counting.Store(false) // before it is counted: who comes now is in the list again
		if now := m.part.group.Load(); now != b.g {
			now.addCount(m)
			continue
		}
		parts[m.part] = append(parts[m.part], m)
	}
	for p, ms := range parts {
		for len(ms) > 0 {
			n := min(len(ms), syncBatch)
			b.sync(p, ms[:n:n], true)
			ms = ms[n:]
		}
	}
}

func (b *batch) sync(p *partition, ms []*mirror, used bool) {
	e := b.g.e
	args := []string{e.node, millis(e.hub.Limits().Timeout)}
	nexts := make([]int64, 0, len(ms))
	p.mu.Lock()
	for _, m := range ms {
		nexts = append(nexts, m.next)
		n := 0
		if now := p.mirrors[m.name]; now != nil { // m, or the one in its place
			n = now.wanted(e.hub)
		}
		args = append(args, m.name, itoa(n), flag(used))
	}
	p.mu.Unlock()
	b.add(step{syncs: ms, nexts: nexts}, syncScript, p, args)
}

func (b *batch) add(s step, script *script, p *partition, args []string) {
	b.steps = append(b.steps, s)
	b.joins = append(b.joins, script.command(b.b, []string{p.due}, args...))
}

// compare asks how a copy stands.
func (b *batch) compare(m *mirror) {
	p := m.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mirrors[m.name] != m || m.live || p.group.Load() != b.g {
		return // dropped, compared already, or the new group's
	}
	b.join(m, nil)
}

func (b *batch) fetch(f *fetch) {
	if !f.auth && !f.known && !f.kept {
		f.kept = b.g.e.keep()
	}
	p := f.m.part
	p.mu.Lock()
	defer p.mu.Unlock()
	b.join(f.m, f)
}

// join is join.lua with a subscriber (fetch) or without. The partition's lock is held.
func (b *batch) join(m *mirror, f *fetch) {
	e := b.g.e
	limits := e.hub.Limits()
	m.checkThere(e.hub)
	b.subscribe(m)
	may, add, needs, token := true, "0", false, ""
	if f != nil {
		may, add, needs, token = f.kept, "1", f.auth, f.token
	}
	b.add(step{m: m, fetch: f, part: m.epoch != "" && !m.parted, next: m.next}, joinScript, m.part, []string{
		m.name, e.node, e.publish, newEpoch(), millis(limits.Timeout), flag(may),
		m.epoch, itoa(m.firstWanted()), add, itoa(limits.MaxSubscribers), flag(needs), token,
		itoa(m.wanted(e.hub)), e.keepFor,
	})
}

func (b *batch) watch(list []*watch) {
	for _, w := range list {
		for _, p := range b.g.e.parts {
			if p.group.Load() != b.g {
				continue
			}
			if w.off {
				b.drop([]string{p.presence})
			} else {
				b.subs[p] = append(b.subs[p], p.presence)
			}
		}
	}
}
