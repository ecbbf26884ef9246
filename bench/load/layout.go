//go:build linux

package load

import "icomet/bench/protocol"

// lay makes the slots, channels and publishers of this worker's share.
func (w *worker) lay() {
	s := &w.Scenario
	base := 0
	for i, g := range s.Groups {
		gs := &groupState{Group: g, Contents: protocol.NewContents(g.Size), id: uint8(i), base: uint32(base), first: len(w.subs)}
		gs.broadcast = gs.base + uint32(g.Channels)
		base += g.Channels + 1
		w.channels = append(w.channels, make([]channelState, g.Channels+1)...)
		gs.mine = share(g.Subscribers, w.Index, s.Procs)
		for n := range gs.mine {
			i := n*s.Procs + w.Index // its number over all workers
			sub := subscriber{fd: -1, group: gs.id, channel: gs.base + uint32(i%g.Channels), next: 1, slow: i < g.Slow}
			w.subs = append(w.subs, sub)
			if !sub.slow && !g.Churn {
				w.channels[w.tracked(gs, &sub)].need++
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

// tracked is the channel on which a subscriber's messages are accounted for: its own, or
// the one that stands for all.
func (w *worker) tracked(g *groupState, s *subscriber) uint32 {
	if g.Broadcasts > 0 {
		return g.broadcast
	}
	return s.channel
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
	procs := w.Scenario.Procs
	c := int(index - g.base)
	step := g.Channels
	if g.Broadcasts > 0 {
		if index != g.broadcast {
			return nil
		}
		c, step = 0, 1
	} else if index == g.broadcast {
		return nil
	}
	for c < g.Slow { // subscribers below Slow do not read
		c += step
	}
	var list []int
	seen := map[int]bool{}
	for n := 0; c < g.Subscribers && n < procs; n, c = n+1, c+step {
		if i := c % procs; !seen[i] {
			seen[i] = true
			list = append(list, i)
		}
	}
	return list
}

// share is how many of n things worker i of procs has: those whose number is i modulo procs.
func share(n, i, procs int) int { return (n - i + procs - 1) / procs }
