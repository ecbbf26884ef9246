//go:build linux

package load

import "icomet/bench/protocol"

// lay makes the slots, channels and publishers of this worker's share.
func (w *worker) lay() {
	s := &w.Scenario
	base := 0
	for i, g := range s.Groups {
		gs := &groupState{Group: g, Contents: protocol.NewContents(g.Size), id: uint8(i), base: uint32(base), first: len(w.subs)}
		gs.Each = max(1, g.Each)
		gs.seats = uint32(len(w.next))
		gs.broadcast = gs.base + uint32(g.Channels)
		base += g.Channels + 1
		w.channels = append(w.channels, make([]channelState, g.Channels+1)...)
		gs.mine = share(g.Subscribers, w.Index, s.Procs)
		for n := range gs.mine {
			i := n*s.Procs + w.Index // its number over all workers
			sub := subscriber{fd: -1, group: gs.id, channel: gs.channelOf(i, 0), slow: i < g.Slow}
			w.subs = append(w.subs, sub)
			for j := range gs.Each {
				w.next = append(w.next, 1)
				if !sub.slow && !g.Churn {
					w.channels[w.tracked(gs, gs.channelOf(i, j))].need++
				}
			}
			if g.Churn {
				gs.free = append(gs.free, uint32(len(w.subs)-1))
			}
		}
		for p := w.Index; p < g.Publishers; p += s.Procs {
			pub := newPublisher(gs, p, len(w.pubs))
			w.pubs = append(w.pubs, pub)
			gs.pubs = append(gs.pubs, pub)
		}
		w.groups = append(w.groups, gs)
		w.layParts(gs)
	}
	if w.Dialect == protocol.DialectNchan {
		w.cursors = make([][]byte, len(w.subs))
	}
}

// tracked is the channel on which the messages of a channel are accounted for: itself, or
// the one that stands for all.
func (w *worker) tracked(g *groupState, channel uint32) uint32 {
	if g.Broadcasts > 0 {
		return g.broadcast
	}
	return channel
}

// groupOf returns the group that a channel belongs to.
func (w *worker) groupOf(channel uint32) *groupState {
	for _, g := range w.groups {
		if channel >= g.base && channel <= g.broadcast {
			return g
		}
	}
	return nil // no record names a channel that no group has
}

// layParts finds out for each channel how many workers have subscribers that read it.
func (w *worker) layParts(g *groupState) {
	procs := w.Scenario.Procs
	if g.Publishers == 0 || g.Churn {
		return
	}
	for index := g.base; index <= g.broadcast; index++ {
		ch := &w.channels[index]
		if g.home(index, procs) == w.Index {
			ch.parts = uint16(len(w.partners(g, index)))
		} else if ch.need > 0 {
			ch.remote = true
			w.finals++
		}
	}
}

// partners lists the workers that have subscribers that read a channel.
func (w *worker) partners(g *groupState, index uint32) []int {
	var list []int
	seen := map[int]bool{}
	note := func(i int) bool {
		// Subscribers below Slow do not read.
		if worker := i % w.Scenario.Procs; i >= g.Slow && !seen[worker] {
			seen[worker] = true
			list = append(list, worker)
		}
		return len(list) < w.Scenario.Procs
	}
	switch {
	case g.Broadcasts == 0 && index != g.broadcast:
		g.members(index, note)
	case g.Broadcasts > 0 && index == g.broadcast:
		for i := g.Slow; i < g.Subscribers && note(i); i++ {
		}
	}
	return list
}

// share is how many of n things worker i of procs has: those whose number is i modulo procs.
func share(n, i, procs int) int { return (n - i + procs - 1) / procs }
