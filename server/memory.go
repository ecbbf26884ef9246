package server

import "runtime/debug"

const (
	// settleChanges is how many connections have to come or go before it is worth
	// a collection, settleQuiet below how many a second a surge is over.
	settleChanges = 5000
	settleQuiet   = 100
	ticksASecond  = 10
)

// settling gives memory back after a surge. What thousands of connections have
// left behind while they came or went would otherwise stay until the next
// collection, which a server without garbage has only every two minutes. It
// belongs to the ticking goroutine.
type settling struct {
	ticks      int
	settled    uint64 // changes at the last collection
	lastSecond uint64 // changes at the last look
}

// settleMemory looks once a second whether a surge has ended.
func (s *Server) settleMemory() {
	m := &s.settling
	if m.ticks++; m.ticks%ticksASecond != 0 {
		return
	}
	changes := uint64(0)
	for _, l := range s.loops {
		accepted := l.stats.accepted.Load()
		changes += 2*accepted - uint64(l.stats.front.Load()+l.stats.admin.Load())
	}
	quiet := changes-m.lastSecond < settleQuiet
	m.lastSecond = changes
	if quiet && changes-m.settled >= settleChanges {
		m.settled = changes
		// On this goroutine: a tick that comes late hurts less than two of these at a
		// time, and the loops go on meanwhile.
		debug.FreeOSMemory()
	}
}
