package monitor

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// settleChanges is how many connections have to come or go before it is worth
	// a collection, settleQuiet below how many a second a surge is over.
	settleChanges = 5000
	settleQuiet   = 100
	// settleBytes is the same for bytes that had to be queued for slow readers, for
	// those given up when they were cut, and for what TLS has let go, or settlePart of what
	// is alive if that is more; settleQuietBytes how many a second.
	settleBytes      = 4 << 20
	settlePart       = 8
	settleQuietBytes = 1 << 20
	ticksASecond     = 10
)

// settling gives memory back to the system after a surge. The garbage of thousands of
// connections that came or went, and of queues for slow readers, would otherwise stay
// until the next collection, which an idle server has only every two minutes. It belongs
// to the ticking goroutine, except for busy.
type settling struct {
	looked     uint32 // the tick of the last look
	settled    uint64 // changes at the last collection
	lastSecond uint64 // changes at the last look
	busy       atomic.Bool

	settledBytes, lastBytes uint64 // the same of bytes
}

// settleMemory looks once a second whether a surge has ended.
func (m *Monitor) settleMemory(now uint32) {
	st := &m.settling
	if now-st.looked < ticksASecond {
		return
	}
	st.looked = now
	changes, bytes := uint64(0), uint64(0)
	for _, c := range m.reactor.Counters() {
		accepted := c.Accepted.Load()
		changes += 2*accepted - uint64(c.Front.Load()+c.Admin.Load())
		bytes += c.Held.Load() + c.LetGo.Load()
	}
	quiet := changes-st.lastSecond < settleQuiet && bytes-st.lastBytes < settleQuietBytes
	st.lastSecond, st.lastBytes = changes, bytes
	surge, queues := changes-st.settled >= settleChanges, bytes-st.settledBytes >= settleBytes
	queues = queues && bytes-st.settledBytes >= liveHeap()/settlePart
	if quiet && (surge || queues) && st.busy.CompareAndSwap(false, true) {
		st.settled, st.settledBytes = changes, bytes
		// On a goroutine of its own: with a million connections it takes a second, and
		// heartbeats need the ticks.
		go func() {
			if queues {
				runtime.GC() // what they were in went to pools, which keep it through one
			}
			debug.FreeOSMemory()
			st.busy.Store(false)
		}()
	}
}

// liveHeap is how many bytes the last collection has found alive.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

const (
	// memoryHigh and memoryLow are where refusing begins and ends, in percent of the
	// limit. Above 90 % the collector, which keeps below the limit as long as it can,
	// works nearly all the time.
	memoryHigh = 90
	memoryLow  = 80
	// recheckMemory is how often a collection looks, while newcomers are refused,
	// whether there is room again: without new garbage there would be none for minutes.
	recheckMemory = 2 * time.Second
	// unknownMemory, in percent of the limit, is how much may have been allocated since
	// the last collection, near the limit, before another one tells what of it is alive.
	unknownMemory = 2
)

// memoryGuard refuses new channels and new subscribers before memory runs out.
type memoryGuard struct {
	over        atomic.Bool
	used, limit atomic.Uint64 // bytes, at the last look; limit 0: none

	// Of the ticking goroutine.
	samples   []metrics.Sample
	collected time.Time
}

// What is looked at. The limit is what the runtime has, be it from memory_limit or
// GOMEMLIMIT.
var memoryMetrics = []string{
	"/gc/gomemlimit:bytes",
	"/memory/classes/total:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/heap/free:bytes",
	"/memory/classes/heap/objects:bytes",
	"/gc/heap/live:bytes",
}

// guardMemory looks at the memory in use, every tick: it costs some microseconds.
func (m *Monitor) guardMemory() {
	g := &m.memory
	limit, used, fresh := g.measure()
	g.limit.Store(limit)
	g.used.Store(used)
	was := g.over.Load()
	over := limit > 0 && (used*100 >= limit*memoryHigh || was && used*100 >= limit*memoryLow)
	if over != was {
		g.over.Store(over)
		m.hub.StopGrowth(over)
		g.collected = time.Now()
		if over {
			m.log.Warn("memory is short: new channels and subscribers are refused", "used", used, "limit", limit)
		} else {
			m.log.Info("memory is there again", "used", used, "limit", limit)
		}
	}
	if !over && (used+fresh)*100 >= limit*memoryHigh && fresh*100 >= limit*unknownMemory && limit > 0 {
		runtime.GC() // the next tick knows
	}
	if over && time.Since(g.collected) >= recheckMemory {
		debug.FreeOSMemory()
		g.collected = time.Now()
	}
}

// measure gives the limit, 0 for none; what is in use: objects that the last
// collection found alive, and all the runtime has besides objects and free pages; and
// the objects since then, which may be garbage.
func (g *memoryGuard) measure() (limit, used, fresh uint64) {
	if g.samples == nil {
		g.samples = make([]metrics.Sample, len(memoryMetrics))
		for i, name := range memoryMetrics {
			g.samples[i].Name = name
		}
	}
	metrics.Read(g.samples)
	var v [6]uint64
	for i := range v {
		v[i] = g.samples[i].Value.Uint64()
	}
	if limit = v[0]; limit == math.MaxInt64 {
		limit = 0
	}
	total, released, free, objects, live := v[1], v[2], v[3], v[4], v[5]
	live = min(live, objects)
	return limit, total - released - free - objects + live, objects - live
}

func (g *memoryGuard) report(out *runtimeReport) {
	out.Used, out.Limit, out.Refusing = g.used.Load(), g.limit.Load(), g.over.Load()
}
