package redis

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"icomet/channel"
	"icomet/channel/redis/redissim"
)

// profile is a kind of schedule.
type profile struct {
	name       string
	share      int // of all schedules, in percent
	partitions int
	rtts       []time.Duration
	steps      int
	rest       time.Duration // after which all must be well
	do         []weighted
}

type weighted struct {
	weight int
	do     func(*world)
}

// simNames are of three partitions. The last one is ended now and then.
var simNames = []string{"a", "b", "d", "e"}

// simLimits are drawn for each schedule. Channel b keeps its messages for a time, d by their
// bytes.
func (w *world) simLimits() channel.Limits {
	l := channel.Limits{
		MaxChannels: 100_000, MaxSubscribers: 1000, BufferSize: 1 + w.rnd.IntN(8), Timeout: time.Duration(2+w.rnd.IntN(4)) * time.Second,
		IDWindow: 10_000,
	}
	class := channel.Class{BufferSize: l.BufferSize, Timeout: l.Timeout, MaxSubscribers: l.MaxSubscribers, IDWindow: l.IDWindow}
	b, d := class, class
	b.Match, b.BufferTTL = "b", w.between(time.Second, 5*time.Second)
	d.Match, d.BufferBytes = "d", 1+w.rnd.IntN(30)
	l.Classes = []channel.Class{b, d}
	return l
}

func (w *world) aName() string { return simNames[w.rnd.IntN(len(simNames))] }

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rnd.Int64N(int64(most-least)+1))
}

// publishSome publishes a burst, of which one may be longer than the history.
func (w *world) publishSome() {
	n, name := w.pick(), w.aName()
	if w.rnd.IntN(2) == 0 {
		name = simNames[0]
	}
	k := 1 + w.rnd.IntN(3*w.truth.limits.BufferSize)
	if w.rnd.IntN(2) == 0 {
		k = 1 + w.rnd.IntN(2)
	}
	w.note("%s publishes %d to %s", n.name, k, name)
	for range k {
		content := strconv.Itoa(w.next)
		w.next++
		c := w.call(n, "publish "+content, func(d channel.Done) { n.Publish(&channel.Publication{Name: []byte(name), Content: content}, d) })
		c.content, c.name = content, name
	}
}

func (w *world) broadcastOne() {
	n, content := w.pick(), "b"+strconv.Itoa(w.next)
	w.next++
	w.note("%s broadcasts %s", n.name, content)
	w.call(n, "broadcast", func(d channel.Done) { n.Broadcast(content, "", d) }).slow = true
}

func (w *world) subscribeOne() {
	n, name := w.pick(), w.aName()
	w.subscribe(n, name, []int64{0, 1, 99999999}[w.rnd.IntN(3)])
}

func (w *world) pollOne() {
	n, name := w.pick(), w.aName()
	if w.rnd.IntN(2) == 0 {
		w.pollAgain(n)
		return
	}
	w.note("%s polls %s", n.name, name)
	w.poll(n, name, []int64{0, 1, 99999999}[w.rnd.IntN(3)])
}

func (w *world) leaveOne() {
	n := w.pick()
	if len(n.subs) > 0 {
		i := w.rnd.IntN(len(n.subs))
		w.note("%s: a subscriber of %s leaves", n.name, n.subs[i].name)
		n.unsubscribe(i)
	}
}

func (w *world) clearOne() {
	n, name := w.pick(), w.aName()
	w.note("%s clears %s", n.name, name)
	w.call(n, "clear", func(d channel.Done) { n.Clear([]byte(name), d) })
}

func (w *world) closeOne() {
	n, name := w.pick(), w.aName()
	w.note("%s closes %s", n.name, name)
	w.call(n, "close", func(d channel.Done) { n.Close([]byte(name), d) })
}

func (w *world) infoOne() {
	n, name := w.pick(), w.aName()
	w.call(n, "info", func(d channel.Done) { n.Info([]byte(name), d) })
}

func (w *world) flushScripts() {
	w.note("SCRIPT FLUSH")
	w.srv.FlushScripts()
}

// compareOne has a node compare all its copies, as it does when its heartbeat finds that
// Redis does not know it. Meanwhile the channels go on, or end.
func (w *world) compareOne() {
	n := w.pick()
	w.note("%s compares all its copies", n.name)
	n.compareAll()
	w.publishSome()
	if w.rnd.IntN(2) == 0 {
		w.closeOne()
	}
}

func (w *world) wait() { w.advance(w.between(0, 20*time.Millisecond)) }

func (w *world) waitLong() { w.advance(w.between(100*time.Millisecond, 3*time.Second)) }

func (w *world) aLink() *redissim.Link {
	l := w.srv.Links()
	if len(l) == 0 {
		return nil
	}
	return l[w.rnd.IntN(len(l))]
}

// hold keeps one direction of one connection back for a while.
func (w *world) hold(most time.Duration) {
	l := w.aLink()
	if l == nil {
		return
	}
	x, up, d := w.wire(l), w.rnd.IntN(2) == 0, w.between(time.Millisecond, most)
	w.note("connection %d of %s is held up for %v (up %v)", l.ID, l.Client, d, up)
	x.holdUp, x.holdDown = up, !up
	for end := time.Now().Add(d); time.Now().Before(end); {
		if w.rnd.IntN(2) == 0 {
			w.publishSome()
		} else {
			w.pollOne()
		}
		w.advance(min(time.Until(end), w.between(0, d)))
	}
	*x = wire{}
}

func (w *world) holdShort() { w.hold(100 * time.Millisecond) }

func (w *world) holdLong() {
	w.truth.faulty("a connection is held up")
	w.truth.held = true
	w.hold(4 * time.Second)
}

func (w *world) cutOne() {
	if l := w.aLink(); l != nil {
		w.truth.faulty("a connection is cut")
		w.note("connection %d of %s is cut", l.ID, l.Client)
		w.cut(l)
	}
}

func (w *world) restartRedis() {
	w.truth.faulty("Redis restarts with all data")
	w.truth.held = true
	w.note("Redis restarts")
	w.truth.unsure = true
	w.srv.Runs++
	w.cutAll()
	w.srv.FlushScripts()
}

func (w *world) hang() {
	w.truth.faulty("Redis hangs")
	w.truth.held = true
	d := w.between(10*time.Millisecond, 3*time.Second)
	w.note("Redis hangs for %v", d)
	w.hung = true
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.publishSome()
		w.advance(min(time.Until(end), w.between(0, d)))
	}
	w.hung = false
}

func (w *world) refuse() {
	w.truth.faulty("Redis refuses writes")
	w.truth.held = true
	errs := []string{
		"READONLY You can't write against a read only replica.", "NOREPLICAS Not enough good replicas to write.",
		"MISCONF Redis is configured to save RDB snapshots", "OOM command not allowed when used memory > 'maxmemory'.",
		"LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script.",
	}
	w.srv.Refuse = errs[w.rnd.IntN(len(errs))]
	w.note("Redis answers %s", w.srv.Refuse)
	w.publishSome()
	w.subscribeOne()
	w.advance(w.between(10*time.Millisecond, 2*time.Second))
	w.srv.Refuse = ""
}

// getWell ends a time of faults.
func (w *world) getWell() {
	w.heal()
	w.advance(6 * time.Second)
	w.truth.sick = false
	w.note("all is well")
}

func (w *world) startOne() {
	if len(w.living()) < 4 {
		w.startNode()
	}
}

func (w *world) killOne() {
	if l := w.living(); len(l) > 1 {
		n := w.pick()
		w.note("%s is killed", n.name)
		w.stop(n, true)
	}
}

func (w *world) stopOne() {
	if l := w.living(); len(l) > 1 {
		n := w.pick()
		took := w.stop(n, false)
		w.note("%s has stopped after %v", n.name, took)
		if took > 2*simTimeout {
			w.fail("%s stops in %v", n.name, took)
		}
	}
}

// hangAndStop stops a node whose broadcasts wait for a Redis that hangs.
func (w *world) hangAndStop() {
	if len(w.living()) < 2 {
		return
	}
	w.truth.faulty("Redis hangs")
	w.truth.held = true
	n := w.pick()
	for range 20 {
		w.call(n, "broadcast", func(d channel.Done) { n.Broadcast("x", "", d) }).slow = true
	}
	w.hung = true
	w.note("Redis hangs, %s stops with 20 broadcasts", n.name)
	if took := w.stop(n, false); took > simTimeout*5/4+simTimeout/8 {
		w.fail("%s stops in %v, while Redis hangs", n.name, took)
	}
	w.hung = false
}

// failOver loses what was written last.
func (w *world) failOver() {
	w.truth.faulty("a fail-over")
	w.truth.held, w.truth.lossy = true, true
	before := w.srv.Snapshot()
	w.publishSome()
	w.subscribeOne()
	w.advance(w.between(0, 50*time.Millisecond))
	w.note("fail-over: the last writes are lost")
	w.cutAll()
	w.srv.FlushScripts()
	if w.rnd.IntN(4) == 0 {
		before = nil
		w.note("all data are lost")
	}
	w.srv.Restore(before)
	w.srv.Runs++
	w.truth.lost()
}

var calm = []weighted{
	{6, (*world).publishSome}, {3, (*world).subscribeOne}, {5, (*world).pollOne}, {1, (*world).leaveOne},
	{1, (*world).clearOne}, {1, (*world).infoOne}, {6, (*world).wait}, {1, (*world).waitLong}, {3, (*world).holdShort},
	{1, (*world).broadcastOne}, {3, (*world).publishWithID}, {1, (*world).publishIf}, {1, (*world).broadcastWithID}, {1, (*world).endOne},
}

func with(base []weighted, more ...weighted) []weighted {
	return append(base[:len(base):len(base)], more...)
}

var profiles = []profile{
	{"calm", 30, simPartitions, []time.Duration{0, time.Millisecond, 24 * time.Millisecond}, 25, 5 * time.Second, with(calm, weighted{1, (*world).closeOne}, weighted{1, (*world).compareOne})},
	{"scripts", 20, simPartitions, []time.Duration{0, time.Millisecond}, 25, 5 * time.Second, with(calm, weighted{4, (*world).flushScripts})},
	{"nodes", 5, manyPartitions, []time.Duration{0, 24 * time.Millisecond, 100 * time.Millisecond}, 12, 16 * time.Second, with(calm,
		weighted{2, (*world).killOne}, weighted{2, (*world).stopOne}, weighted{3, (*world).startOne}, weighted{6, (*world).waitLong})},
	{"faults", 25, simPartitions, []time.Duration{0, time.Millisecond, 24 * time.Millisecond}, 20, 16 * time.Second, with(calm,
		weighted{2, (*world).holdLong}, weighted{3, (*world).cutOne}, weighted{1, (*world).restartRedis}, weighted{1, (*world).hang},
		weighted{1, (*world).refuse}, weighted{1, (*world).flushScripts}, weighted{1, (*world).getWell}, weighted{1, (*world).closeOne},
		weighted{1, (*world).killOne}, weighted{1, (*world).startOne}, weighted{1, (*world).hangAndStop})},
	{"loss", 20, simPartitions, []time.Duration{0, time.Millisecond}, 18, 16 * time.Second, with(calm,
		weighted{2, (*world).failOver}, weighted{2, (*world).cutOne}, weighted{1, (*world).closeOne})},
}

func (w *world) step(p *profile) {
	sum := 0
	for _, x := range p.do {
		sum += x.weight
	}
	k := w.rnd.IntN(sum)
	for _, x := range p.do {
		if k -= x.weight; k < 0 {
			x.do(w)
			return
		}
	}
}

// simulate runs the schedule of one seed.
func simulate(t *testing.T, p *profile, seed uint64) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed)
		defer w.srv.Close()
		w.partitions, w.rtt = p.partitions, p.rtts[w.rnd.IntN(len(p.rtts))]
		w.truth.limits = w.simLimits()
		w.note("seed %d: %s, round trip %v, buffer %d", seed, p.name, w.rtt, w.truth.limits.BufferSize)
		for range 1 + w.rnd.IntN(3) {
			w.startNode()
			w.advance(w.between(0, 60*time.Millisecond))
		}
		for w.steps = 0; w.steps < p.steps && w.failed == nil; w.steps++ {
			w.step(p)
			w.advance(0)
		}
		if w.failed == nil {
			w.heal()
			w.advance(p.rest)
			w.truth.rest()
		}
		for _, n := range w.living() {
			w.heal()
			w.stop(n, false)
		}
		w.cutAll()
		w.advance(5 * time.Second)
	})
	return w
}
