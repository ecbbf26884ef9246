package redis

import (
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// defaultPartitions is the number of parts that the channels are divided into, by name.
// All keys of a partition are in one slot of a Cluster, so that one script can change a
// channel together with the partition's sets. What is stored depends on this number, so
// all nodes must have the same. Only the simulation has fewer.
const defaultPartitions = 256

// partition is one part of the channels, with this node's copies of them.
type partition struct {
	index    int
	base     string // prefix of all its keys
	due      string // key of the sorted set: name → end of life, ms
	presence string // its pub/sub channel for presence

	group atomic.Pointer[group] // the group that serves it

	mu      sync.Mutex
	mirrors map[string]*mirror
}

func newPartition(prefix string, i int) *partition {
	base := prefix + "{" + strconv.Itoa(i) + "}"
	return &partition{
		index: i, base: base, due: base + "due", presence: base + "p",
		mirrors: make(map[string]*mirror),
	}
}

// state is the key of a channel's state; its pub/sub channel has the same name.
func (p *partition) state(name string) string { return p.base + "c:" + name }

// keys are the keys that the scripts name. No key has presence's name. So, while a Cluster
// moves the partition's slot, Redis refuses the script (TRYAGAIN) on both masters: it would
// find only some of the keys on either, and take channels for freed.
func (p *partition) keys() []string { return []string{p.due, p.presence} }

func (e *Engine) partition(name []byte) *partition {
	return e.parts[crc32.ChecksumIEEE(name)%uint32(len(e.parts))]
}

// locate splits the name of a pub/sub channel; name is "" for presence.
func (e *Engine) locate(pubsub string) (p *partition, name string, ok bool) {
	rest, ok := strings.CutPrefix(pubsub, e.opts.Prefix+"{")
	if !ok {
		return nil, "", false
	}
	number, rest, ok := strings.Cut(rest, "}")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || i >= len(e.parts) {
		return nil, "", false
	}
	if rest == "p" {
		return e.parts[i], "", true
	}
	name, ok = strings.CutPrefix(rest, "c:")
	return e.parts[i], name, ok
}

// grouped has lists by partition, in the order in which the partitions have come.
type grouped[T any] struct {
	lists []listOf[T]
	at    map[*partition]int
}

type listOf[T any] struct {
	part *partition
	list []T
}

func (g *grouped[T]) add(p *partition, v T) {
	i, known := g.at[p]
	if !known {
		if g.at == nil {
			g.at = make(map[*partition]int)
		}
		i = len(g.lists)
		g.at[p], g.lists = i, append(g.lists, listOf[T]{part: p})
	}
	g.lists[i].list = append(g.lists[i].list, v)
}
