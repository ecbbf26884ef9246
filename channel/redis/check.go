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
	next  float64 // the partition to compare next
}

func (c *checker) some(conn rueidis.DedicatedClient) error {
	e := c.group.e
	from := int(c.next)
	c.next += partitions * float64(checkTick) / float64(e.opts.CheckInterval)
	for i := from; i < int(c.next); i++ {
		if err := c.one(conn, e.parts[i%partitions]); err != nil {
			return err
		}
	}
	if c.next >= partitions {
		c.next -= partitions
	}
	return nil
}

func (c *checker) one(conn rueidis.DedicatedClient, p *partition) error {
	g := c.group
	if p.group.Load() != g {
		return nil
	}
	var list []*mirror
	p.mu.Lock()
	for _, m := range p.mirrors {
		if m.live {
			list = append(list, m)
		}
	}
	p.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	b := &batch{g: g, b: conn.B()}
	for len(list) > 0 {
		n := min(len(list), syncBatch)
		b.sync(p, list[:n:n], false)
		list = list[n:]
	}
	results, err := g.do(conn, b.all())
	if err != nil {
		return err
	}
	for i, s := range b.steps {
		if err := s.finish(g.e, results[i]); err != nil {
			return err
		}
	}
	return nil
}

// changesLoop passes the copies whose subscribers have come or gone to their groups.
func (e *Engine) changesLoop() {
	var changes []channel.Change
	every(e.stop, changesTick, func() {
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
