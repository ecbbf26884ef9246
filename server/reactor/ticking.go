package reactor

import (
	"fmt"
	"net/http"
	"time"

	"github.com/panjf2000/gnet/v2"
)

const (
	// loopPatience is how long a loop may take to answer and still be called alive.
	loopPatience = time.Second
	// tickPatience is the same for the ticking goroutine, which sleeps longer when
	// nothing happens.
	tickPatience = 2 * time.Second / tickLength
)

func (r *Reactor) boot(eng gnet.Engine) {
	r.gnet = eng
	r.booted.Store(true)
	// For connections before the server is ready; then it is measured again.
	r.counts.Measure(len(r.loops))
	r.counts.SetLimit(r.settings.Load().Connections)
}

// ticks is the time since the start, in ticks; the first is 1.
func (r *Reactor) ticks() uint32 { return uint32(time.Since(r.started)/tickLength) + 1 }

// micros is the time since the start in µs. It wraps every 71 minutes, so only the
// difference of two near values has a meaning.
func (r *Reactor) micros() uint32 { return uint32(time.Since(r.started) / time.Microsecond) }

// clock is the present tick. While the ticking goroutine takes long sleeps, it is also
// advanced here.
func (r *Reactor) clock() uint32 {
	if r.slow.Load() {
		r.advance(r.ticks())
		r.hub.SetTime(time.Since(r.started))
	}
	return r.now.Load()
}

// advance sets the tick that the loops go by, unless another has set a later one.
func (r *Reactor) advance(now uint32) {
	for old := r.now.Load(); old < now && !r.now.CompareAndSwap(old, now); old = r.now.Load() {
	}
}

// tickDelay is how long the ticking goroutine sleeps.
func (r *Reactor) tickDelay() time.Duration {
	if r.slow.Load() {
		return slowTicks * tickLength
	}
	return tickLength
}

// tick runs every 100 ms, when idle every 400 ms, on gnet's ticking goroutine.
func (r *Reactor) tick() gnet.Action {
	if r.stopping {
		return gnet.None
	}
	if !r.isReady() {
		if r.failed = r.anchorLoops(); r.failed == nil {
			r.failed = r.watchListeners()
		}
		if r.failed != nil {
			return r.stop()
		}
		r.becomeReady()
	}
	now := r.ticks()
	r.advance(now)
	r.setDate(time.Now())
	r.hub.Tick(time.Since(r.started))
	idle := !r.draining.Load() && !r.hub.Watched() && r.feed.Watching() == 0
	for _, l := range r.loops {
		if busy := l.busy(); busy || l.idleTickDue(now) {
			l.postTick()
			idle = idle && !busy
		}
	}
	r.slow.Store(idle)
	if r.onTick != nil {
		r.onTick(now)
	}
	r.tickedAt.Store(now)
	if r.drained() {
		r.engine.Stop() // what it has begun is answered
		return r.stop()
	}
	return gnet.None
}

// setDate makes the text of the Date field for the present second. The ticking goroutine
// calls it in each of its turns, at most 400 ms apart, so that an answer neither asks for
// the time nor formats it.
func (r *Reactor) setDate(now time.Time) {
	var space [len(http.TimeFormat)]byte
	text := now.In(time.UTC).AppendFormat(space[:0], http.TimeFormat)
	if old := r.date.Load(); old == nil || *old != string(text) {
		next := string(text)
		r.date.Store(&next)
	}
}

// dateText is what an answer says in Date. Concurrency-safe.
func (r *Reactor) dateText() string { return *r.date.Load() }

func (r *Reactor) stop() gnet.Action {
	r.stopping = true
	return gnet.Shutdown
}

func (r *Reactor) isReady() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

func (r *Reactor) becomeReady() {
	r.counts.Measure(len(r.loops))
	r.counts.SetLimit(r.settings.Load().Connections)
	for _, ln := range r.listen.Load().list {
		role := "front"
		if ln.Admin {
			role = "admin"
		}
		line := []any{"role", role, "address", ln.bound.String()}
		if ln.TLS {
			line = append(line, "scheme", "https")
		}
		r.log.Info("listening", line...)
	}
	close(r.ready)
}

// Alive says which of the goroutines does not answer, or nil: no event loop has let a
// tick wait for more than a second, and the ticking goroutine runs. The call itself
// makes sure that a tick waits.
func (r *Reactor) Alive() error {
	if silent := time.Duration(r.ticks() - r.tickedAt.Load()); silent > tickPatience {
		return fmt.Errorf("the ticking goroutine has not run for %v", silent*tickLength)
	}
	for i, l := range r.loops {
		if silent := l.probe(); silent > loopPatience {
			return fmt.Errorf("event loop %d has not answered for %v", i, silent.Round(time.Millisecond))
		}
	}
	return nil
}

// probe gives the loop a tick unless one waits, and says how long that has waited.
// Concurrency-safe.
func (l *loop) probe() (silent time.Duration) {
	l.mu.Lock()
	if l.tick {
		defer l.mu.Unlock()
		return time.Since(l.tickedAt)
	}
	wake := !l.armed
	l.tick, l.tickedAt, l.armed = true, time.Now(), true
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
	return 0
}
