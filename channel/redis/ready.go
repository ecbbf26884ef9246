package redis

import (
	"fmt"
	"strings"
	"time"
)

const (
	readyTick = 100 * time.Millisecond
	// awayLimit is how long Redis must be away before Ready is an error, backLimit how
	// long it must be back before Ready is nil again: a load balancer should not react to
	// each broken connection.
	awayLimit = time.Second
	backLimit = 2 * time.Second
)

// Ready is as in channel.Engine. It is nil while any master answers: if one master of a
// Cluster is away, it is away for every node, and the other masters' channels are still
// served.
func (e *Engine) Ready() error {
	if away := e.away.Load(); away != nil {
		return *away
	}
	return nil
}

func (e *Engine) readyLoop() {
	tick := time.NewTicker(readyTick)
	defer tick.Stop()
	reached, since := true, time.Now()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		up, _ := e.groupsUp()
		lasted := time.Since(since)
		switch now := up > 0 && !e.full.Load(); {
		case now != reached:
			reached, since = now, time.Now()
		case reached && lasted >= backLimit:
			e.away.Store(nil)
		case !reached && lasted >= awayLimit && e.away.Load() == nil:
			err := fmt.Errorf("redis %s %s", strings.Join(e.opts.Addresses, ","), e.whyAway())
			e.away.Store(&err)
		}
	}
}

// whyAway completes "redis ADDRESS …".
func (e *Engine) whyAway() string {
	if e.full.Load() {
		return "refuses writes: OOM"
	}
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	for _, g := range e.groups {
		for _, l := range g.lanes {
			if why := l.down.Load(); why != nil && *why != noAnswer {
				return "refuses writes: " + *why
			}
		}
	}
	return "does not answer"
}

// setFull notes that Redis is, or is no longer, at its maxmemory.
func (e *Engine) setFull(full bool, err error) {
	if e.full.Swap(full) == full {
		return
	}
	if full {
		e.log.Warn("redis is out of memory; it refuses publishes and newcomers", "error", err)
	} else {
		e.log.Info("redis has memory again")
	}
}

// logSeldom logs a failure that is no change of state, at most once a second.
func (e *Engine) logSeldom(text string, err error) {
	now := int64(time.Since(e.started))
	last := e.logged.Load()
	if (last == 0 || now-last >= int64(time.Second)) && e.logged.CompareAndSwap(last, now) {
		e.log.Error(text, "error", err)
	}
}

// up reports that every master answers and its pub/sub connection is up.
func (e *Engine) up() bool {
	up, all := e.groupsUp()
	return up == all
}

func (e *Engine) groupsUp() (up, all int) {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	for _, g := range e.groups {
		if g.up() {
			up++
		}
	}
	return up, len(e.groups)
}

func (g *group) up() bool { return !g.down() && g.isLive() }

// down reports that calls are refused.
func (g *group) down() bool {
	for _, l := range g.lanes {
		if l.down.Load() != nil {
			return true
		}
	}
	return false
}
