package reactor

import (
	"time"

	"icomet/httpparse/wsframe"
)

// drainState is a loop's part of a shutdown.
type drainState struct {
	begin, end uint32 // the ticks between which everybody goes; end 0: no drain yet
	total      int64  // Subscribers at the begin
	slot       uint32 // where the walk over the wheel goes on
}

// Shutdown has the server leave. For DrainDelay it only says so (Leaving), and serves
// newcomers as before, so that a load balancer sees it before anybody is refused. Then the
// drain begins: new front connections are refused, subscribers are ended evenly over
// DrainTimeout, then Run returns. Concurrency-safe.
func (r *Reactor) Shutdown() {
	if !r.leaving.CompareAndSwap(false, true) {
		return
	}
	delay := r.settings.Load().DrainDelay
	if delay == 0 {
		r.beginToDrain()
		return
	}
	r.log.Info("leaving, newcomers are still served", "drain_delay", delay)
	r.delayed.Store(time.AfterFunc(delay, r.beginToDrain))
}

func (r *Reactor) beginToDrain() {
	if r.drainFrom.CompareAndSwap(0, int64(time.Since(r.started))) {
		r.draining.Store(true) // behind the time, which who sees it goes by
		r.slow.Store(false)
		for _, l := range r.loops { // the ticking goroutine of an idle server looks later
			l.post(l.drainSome)
		}
		r.log.Info("draining", "subscribers", r.hub.Subscribers(), "drain_timeout", r.drainTimeout())
	}
}

func (r *Reactor) drainTimeout() time.Duration {
	return r.settings.Load().DrainTimeout
}

// drained reports that the last front connection has gone or that the time is over.
func (r *Reactor) drained() bool {
	if !r.draining.Load() {
		return false
	}
	const grace = 500 * time.Millisecond // for the last answers to go out
	if time.Since(r.started) > time.Duration(r.drainFrom.Load())+r.drainTimeout()+grace {
		return true
	}
	for _, l := range r.loops {
		if l.stats.Front.Load() > 0 {
			return false
		}
	}
	return true
}

// drainSome ends this tick's share of the subscribers.
func (l *loop) drainSome() {
	if !l.reactor.draining.Load() {
		return
	}
	d := &l.drain
	if d.end == 0 {
		d.begin, d.end, d.total = l.now, l.now+toTicks(l.reactor.drainTimeout()), l.stats.frontSubscribers()
		l.closeIdle()
		return // a publish accepted just before has until the next tick to reach the inbox
	}
	forced := l.now >= d.end
	if l.stats.Queued.Load() > 0 && !forced {
		return // what was acknowledged has to be delivered first
	}
	stay := int64(0) // rounded down, so that the last subscriber does not wait to the end
	if !forced {
		stay = d.total * int64(d.end-l.now) / int64(d.end-d.begin)
	}
	l.endSubscribers(l.stats.frontSubscribers()-stay, forced)
}

// closeIdle closes the kept-alive front connections that are in no request, once
// their last answer has gone out.
func (l *loop) closeIdle() {
	for i := range l.wheel.slots {
		for c := l.wheel.slots[i]; c != nil; {
			next := c.timeNext // before c is moved
			switch {
			case c.state != stateReading || c.has(flagAdmin|flagMidRequest) || c.recordDue() != neverDue:
			case c.outbound() > 0:
				c.beginDrain(ReasonDrain)
			default:
				l.doom(c, ReasonDrain)
			}
			c = next
		}
	}
}

// endSubscribers ends up to quota subscribers. One with queued output, or with a
// backlog on its way, is left for later, unless forced, because closing would lose it.
func (l *loop) endSubscribers(quota int64, forced bool) {
	for range wheelSlots {
		for c := l.wheel.slots[l.drain.slot%wheelSlots]; c != nil; {
			next := c.timeNext // before c is moved or unlinked
			if c.state == stateSubscribed && !c.has(flagDoomed) && (forced || c.outbound() == 0 && !c.has(flagReplaying)) {
				if quota <= 0 {
					return
				}
				quota--
				c.endByDrain()
			}
			c = next
		}
		l.drain.slot++
	}
}

// endByDrain makes the client come back: a poll gets its noop, an endless response is cut
// without its last chunk, because some clients do not return after a clean end.
func (c *Conn) endByDrain() {
	switch {
	case c.transport.Polls() && !c.has(flagReplaying):
		c.set(flagClose)
		c.heartbeat()
		return
	case c.transport.Frames():
		c.closeFrames(wsframe.CodeGoingAway, "", ReasonDrain)
		return
	}
	c.loop.doom(c, ReasonDrain)
}
