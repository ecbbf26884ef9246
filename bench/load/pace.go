//go:build linux

package load

import (
	"golang.org/x/sys/unix"

	"icomet/bench/tally"
)

// schedule is the open loop of a group: event n is meant for start + n/rate. Latency counts
// from that time, so that a stall is charged to everything that was due in it.
type schedule struct {
	start    int64
	interval float64 // ns
}

func (s schedule) at(n uint64) int64 { return s.start + int64(float64(n)*s.interval) }

// begin starts publishing at time t.
func (w *worker) begin(t int64) {
	for _, g := range w.groups {
		if g.Rate > 0 {
			g.schedule = schedule{start: t, interval: 1e9 / g.Rate}
		}
		if g.Churn {
			g.began = make([]int64, g.mine)
			if g.Rate == 0 {
				w.churnFill(g, t)
			}
		}
		for _, p := range g.pubs {
			w.enqueue(p)
		}
	}
	w.pace(t)
}

// pace makes due what has its time, and sets the timer for the next event.
func (w *worker) pace(t int64) {
	next := int64(1<<63 - 1)
	for _, g := range w.groups {
		if g.Rate == 0 || w.stage < stageWarm || w.stage >= stageDrain {
			continue
		}
		if g.Churn {
			procs := uint64(w.Scenario.Procs)
			for g.schedule.at(g.due*procs+uint64(w.Index)) <= t {
				g.due++
			}
			w.churnDue(g)
			next = min(next, g.schedule.at(g.due*procs+uint64(w.Index)))
			continue
		}
		for _, p := range g.pubs {
			stride := uint64(g.Publishers)
			for g.schedule.at(p.due*stride+uint64(p.id)) <= t {
				p.due++
				w.enqueue(p)
			}
			next = min(next, g.schedule.at(p.due*stride+uint64(p.id)))
		}
	}
	if next == 1<<63-1 {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(next)}
	if err := unix.TimerfdSettime(int(w.timer), unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		panic("timerfd_settime: " + err.Error()) // the descriptor and the time are ours
	}
}

// churnFill (closed loop) connects all free slots.
func (w *worker) churnFill(g *groupState, t int64) {
	for len(g.free) > 0 && w.stage < stageDrain {
		w.churnConnect(g, t)
	}
}

// churnDue (open loop) begins the cycles whose time has come, as far as slots are free.
func (w *worker) churnDue(g *groupState) {
	for g.started < g.due && len(g.free) > 0 && w.stage < stageDrain {
		w.churnConnect(g, g.schedule.at(g.started*uint64(w.Scenario.Procs)+uint64(w.Index)))
		g.started++
	}
}

// churnConnect begins a cycle that was meant to begin at time t.
func (w *worker) churnConnect(g *groupState, t int64) {
	slot := g.free[0]
	g.free = g.free[1:]
	s := &w.subs[slot]
	w.next[g.seat(slot, 0)] = w.channels[s.channel].published + 1
	s.tries = connectTries // a cycle is not tried again
	g.began[int(slot)-g.first] = t
	w.connect(slot)
}

// churnUp has the message of a subscription published that has come up.
func (w *worker) churnUp(g *groupState, s *subscriber) {
	p := w.publisherOf(g, s.channel)
	p.queue = append(p.queue, s.channel)
	w.enqueue(p)
}

// churnOver frees a slot; done is true when its subscriber got its message.
func (w *worker) churnOver(g *groupState, slot uint32, s *subscriber, done bool) {
	t := Now()
	if done {
		w.counts.Cycles++
		if w.stage == stageMeasured {
			tally.Record(w.cycle, t-g.began[int(slot)-g.first])
		}
	}
	s.state = subIdle
	g.free = append(g.free, slot)
	if g.Rate > 0 {
		w.churnDue(g)
	} else if done {
		w.churnAgain = append(w.churnAgain, g)
	}
}

// again (closed loop) begins new cycles. It runs outside of the loop over events, so that a
// server which refuses every connection cannot hold the worker there.
func (w *worker) again() {
	groups := w.churnAgain
	w.churnAgain = w.churnAgain[:0]
	for _, g := range groups {
		w.churnFill(g, Now())
	}
}
