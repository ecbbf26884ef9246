package redis

import (
	"fmt"
	"strings"
	"time"
)

const (
	readyTick = 100 * time.Millisecond
	// awayLimit is how long Redis has to be away before Ready says so, backLimit how
	// long it has to be back before Ready takes it back: a load balancer that looks at
	// every change is not to act on each broken connection.
	awayLimit = time.Second
	backLimit = 2 * time.Second
)

// Ready is nil while any master can be used: if one of a Cluster is away, it is so for
// every node, and its neighbours' channels are still served.
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
		switch now := up > 0; {
		case now != reached:
			reached, since = now, time.Now()
		case reached && lasted >= backLimit:
			e.away.Store(nil)
		case !reached && lasted >= awayLimit && e.away.Load() == nil:
			err := fmt.Errorf("redis %s does not answer", strings.Join(e.opts.Addresses, ","))
			e.away.Store(&err)
		}
	}
}

// up reports that every master answers and pub/sub is connected to it.
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

func (g *group) up() bool {
	for _, l := range g.lanes {
		if l.down.Load() {
			return false
		}
	}
	return g.isLive()
}
