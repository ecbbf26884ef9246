package redis

import (
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// partitions is how many parts the channels are divided in, by name. All keys of a
// part are in one slot of a Cluster, so that one script can change a channel together
// with the part's own sets. Every node, and what is stored, depends on the number.
const partitions = 256

// partition is one part and this node's copies of its channels.
type partition struct {
	index    int
	base     string // begins all its keys
	due      string // the sorted set: name → end of life, ms
	presence string // the pub/sub channel

	group atomic.Pointer[group] // who serves it

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

// state is the key of a channel's state, and its pub/sub channel.
func (p *partition) state(name string) string { return p.base + "c:" + name }

func partitionOf(name []byte) int { return int(crc32.ChecksumIEEE(name) % partitions) }

func (e *Engine) partition(name []byte) *partition { return e.parts[partitionOf(name)] }

// locate takes a pub/sub channel apart; name is "" for presence.
func (e *Engine) locate(pubsub string) (p *partition, name string, ok bool) {
	rest, ok := strings.CutPrefix(pubsub, e.opts.Prefix+"{")
	if !ok {
		return nil, "", false
	}
	number, rest, ok := strings.Cut(rest, "}")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || i >= partitions {
		return nil, "", false
	}
	if rest == "p" {
		return e.parts[i], "", true
	}
	name, ok = strings.CutPrefix(rest, "c:")
	return e.parts[i], name, ok
}
