package redis

import (
	"time"

	"github.com/redis/rueidis"

	"icomet/channel"
)

const (
	// checkTick is how often some of the quiet channels are compared with Redis.
	checkTick = 100 * time.Millisecond
	// changesTick is how late Redis learns that subscribers have come or gone, except the
	// first one of a channel, which it counts at once.
	changesTick = 50 * time.Millisecond
)

// checker compares all copies of the group's partitions once per Options.CheckInterval.
// Pub/sub may lose the last message of a channel, and then no later one shows the gap.
// The comparison also renews the counts, in case another node has taken this one for
// dead.
type checker struct {
	group *group
	next  float64   // the partition to compare next
	last  time.Time // when some have been compared
}

// some compares the partitions whose turn it is, in one round trip.
func (c *checker) some(conn rueidis.DedicatedClient) error {
	g, e := c.group, c.group.e
	now := time.Now()
	if e.signingOff.Load() || now.Sub(c.last) < checkTick {
		return nil // signingOff: the comparison would count this node's subscribers again
	}
	c.last = now
	from := int(c.next)
	c.next += float64(len(e.parts)) * float64(checkTick) / float64(e.opts.CheckInterval)
	b := &batch{g: g, b: conn.B()}
	for i := from; i < int(c.next); i++ {
		if p := e.parts[i%len(e.parts)]; p.group.Load() == g {
			b.check(p)
		}
	}
	if all := float64(len(e.parts)); c.next >= all {
		c.next -= all
	}
	if len(b.steps) == 0 {
		return nil
	}
	results, err := g.do(conn, b)
	if err != nil {
		return err
	}
	for i, s := range b.steps {
		if err := s.finish(e, results[i]); err != nil && !refusedOnly(err) {
			return err
		}
	}
	return nil
}

// check compares all copies of a partition. One without copies is asked, too, whether
// Redis counts subscribers of this node in it.
func (b *batch) check(p *partition) {
	var list []*mirror
	counted := 0
	p.mu.Lock()
	for _, m := range p.mirrors {
		if m.live {
			list = append(list, m)
		}
		if m.wanted(b.g.e.hub) > 0 || m.waiting > 0 {
			counted++
		}
	}
	p.mu.Unlock()
	for len(list) > syncBatch {
		b.sync(p, list[:syncBatch:syncBatch], false)
		list = list[syncBatch:]
	}
	b.sync(p, list, false)
	b.steps[len(b.steps)-1].counted = counted
	b.steps[len(b.steps)-1].all = true
}

// changesLoop passes the copies whose subscribers have come or gone to their groups.
func (e *Engine) changesLoop() {
	var changes []channel.Change
	e.every(e.stop, changesTick, func() {
		changes = e.hub.TakeChanged(changes[:0])
		for i := range changes {
			e.changed(&changes[i])
		}
		clear(changes)
		e.pokeGroups()
	})
}

func (e *Engine) changed(c *channel.Change) {
	name := c.Channel.Name()
	p := e.partition([]byte(name))
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mirrors[name]
	switch {
	case m == nil || m.ch != c.Channel: // taken out by this engine, or replaced by a newer copy
	case c.Freed:
		e.dropLocked(m)
	default:
		p.group.Load().addCount(m)
	}
}
