//go:build linux

package load

import "icomet/bench/protocol"

// A seat is one channel of one connection: connection i of a group has Each of them, on
//
//	j*stride + (i + j*(i/stride)) % stride, for each j below Each
//
// where stride is Channels/Each. So all channels have as many subscribers, two connections
// share few of their channels, and channels whose numbers are near, which the publishers
// serve at about the same time, belong to different connections: their messages do not
// leave in one write more often than by chance. With Each 1 it is i % Channels.

// stride is how many channels lie between two of a connection.
func (g *groupState) stride() int { return g.Channels / g.Each }

// channelOf is connection i's channel j.
func (g *groupState) channelOf(i, j int) uint32 {
	stride := g.stride()
	return g.base + uint32(j*stride+(i+j*(i/stride))%stride)
}

// members calls each for the connections of a channel, until it returns false.
func (g *groupState) members(index uint32, each func(i int) bool) {
	stride := g.stride()
	j, r := int(index-g.base)/stride, int(index-g.base)%stride
	for block := 0; block*stride < g.Subscribers; block++ {
		i := block*stride + ((r-j*block)%stride+stride)%stride
		if i < g.Subscribers && !each(i) {
			return
		}
	}
}

// number is a connection's number over all workers.
func (w *worker) number(g *groupState, slot uint32) int {
	return (int(slot)-g.first)*w.Scenario.Procs + w.Index
}

// seat is the number of a connection's seat j here.
func (g *groupState) seat(slot uint32, j int) uint32 {
	return g.seats + (slot-uint32(g.first))*uint32(g.Each) + uint32(j)
}

// seatOf returns the seat of a connection on a channel, and whether it has one there.
func (w *worker) seatOf(g *groupState, slot, channel uint32) (seat uint32, ok bool) {
	if g.Each == 1 {
		return g.seat(slot, 0), channel == w.subs[slot].channel
	}
	if channel < g.base || channel >= g.broadcast {
		return 0, false
	}
	j := int(channel-g.base) / g.stride()
	return g.seat(slot, j), g.channelOf(w.number(g, slot), j) == channel
}

// appendPlaces appends what a connection asks for.
func (w *worker) appendPlaces(places []protocol.Place, g *groupState, slot uint32) []protocol.Place {
	i := w.number(g, slot)
	for j := range g.Each {
		places = append(places, protocol.Place{Channel: g.channelOf(i, j), Next: w.next[g.seat(slot, j)]})
	}
	return places
}

// caughtUp reports that a connection has all that was published. It is false while the
// total of another worker's channel is not known.
func (w *worker) caughtUp(slot uint32) bool {
	g := w.groups[w.subs[slot].group]
	for j := range g.Each {
		ch := &w.channels[w.tracked(g, g.channelOf(w.number(g, slot), j))]
		if !ch.final || w.next[g.seat(slot, j)] <= ch.published {
			return false
		}
	}
	return true
}

// rightID reports whether an event id says what its connection has had.
func (w *worker) rightID(g *groupState, slot uint32, id []byte) bool {
	return protocol.CheckID(id, g.Each, func(j int) uint32 { return w.next[g.seat(slot, j)] - 1 })
}
