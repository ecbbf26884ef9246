package redis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
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
	tick := e.ticker(readyTick)
	defer tick.Stop()
	reached, since := true, time.Now()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		lasted := time.Since(since)
		switch now := e.usable(); {
		case now != reached:
			reached, since = now, time.Now()
		case reached && lasted >= backLimit:
			e.away.Store(nil)
		case !reached && lasted >= awayLimit:
			e.setAway()
		}
	}
}

// setAway says why Redis cannot be used, which can change while it cannot.
func (e *Engine) setAway() {
	err := fmt.Errorf("redis %s %s", strings.Join(e.opts.Addresses, ","), e.whyAway())
	if old := e.away.Load(); old == nil || (*old).Error() != err.Error() {
		e.away.Store(&err)
	}
}

// whyAway completes "redis ADDRESS …".
func (e *Engine) whyAway() string {
	for _, g := range e.allGroups() {
		if g.full.Load() {
			return "refuses writes: OOM"
		}
		for _, l := range g.lanes {
			if why := l.down.Load(); why != nil && *why != noAnswer {
				return "refuses writes: " + *why
			}
		}
	}
	return "does not answer"
}

// usable reports that calls for the channels of any master can be carried out.
func (e *Engine) usable() bool {
	return slices.ContainsFunc(e.allGroups(), func(g *group) bool { return g.up() && !g.full.Load() })
}

// setFull notes that the master is, or is no longer, at its maxmemory.
func (g *group) setFull(full bool, err error) {
	if g.full.Swap(full) == full {
		return
	}
	if full {
		g.e.log.Warn("redis is out of memory; it refuses publishes and newcomers", "master", g.addr, "error", err)
	} else {
		g.e.log.Info("redis has memory again", "master", g.addr)
	}
}

// lookFull finds out which masters are at their maxmemory, by a write that needs memory and
// changes nothing: no list has the name of presence.
func (e *Engine) lookFull() {
	ctx, cancel := e.deadline()
	defer cancel()
	var groups []*group
	var commands []rueidis.Completed
	for _, p := range e.parts {
		if g := p.group.Load(); !slices.Contains(groups, g) {
			groups = append(groups, g)
			commands = append(commands, e.client.B().Lpushx().Key(p.presence).Element("").Build())
		}
	}
	for i, r := range send(ctx, e.client, commands...) {
		switch c, _ := classOf(r.Error()); c {
		case classNone:
			groups[i].setFull(false, nil)
		case classMemory:
			groups[i].setFull(true, r.Error())
		}
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
