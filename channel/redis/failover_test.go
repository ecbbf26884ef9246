package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
)

// TestSentinelFailoverUnderLoad kills the master while everybody publishes and reads.
func TestSentinelFailoverUnderLoad(t *testing.T) {
	master, _, sentinel := redistest.StartSentinel(t)
	failOverUnderLoad(t, sentinelOptions(sentinel), master)
}

// TestClusterFailoverUnderLoad is the same with one of three masters.
func TestClusterFailoverUnderLoad(t *testing.T) {
	servers := redistest.StartCluster(t, 1)
	failOverUnderLoad(t, testOptions(redistest.Addrs(servers)...), servers[0])
}

// failOverUnderLoad: publishes are refused within a second, and go on by themselves.
// What was acknowledged and replicated before, and what is acknowledged after, every
// subscriber has exactly once, in order. What the master had not replicated may be
// lost to who comes later, and nobody has anything twice.
func failOverUnderLoad(t *testing.T, o Options, master *redistest.Server) {
	t.Helper()
	var nodes []*testNode
	for range 3 {
		nodes = append(nodes, startNode(t, o, deep()))
	}
	names := channelNames(30)
	readers := startReaders(nodes, names)
	l := startLoad(t, nodes, names)
	l.more(t, 300)
	replicated := l.snapshot()
	master.Replicated()
	l.more(t, 100)
	_, before := l.count()
	master.Kill()
	checkFor(t, patience, func() error {
		if _, refused := l.count(); refused < before+20 {
			return errors.New("publishes are not refused")
		}
		return nil
	})
	checkFor(t, patience, func() error {
		for _, n := range nodes {
			for _, name := range names {
				if r := n.publishTo(name, "probe of "+n.node); r.Err != nil {
					return fmt.Errorf("%s: %w", name, r.Err)
				}
			}
		}
		return nil
	})
	between := l.snapshot()
	l.more(t, 300)
	l.end()
	if l.slowest > time.Second {
		t.Errorf("an answer took %v", l.slowest)
	}
	for _, r := range readers {
		list := l.acked[r.name]
		after := list[len(between[r.name]):]
		checkFor(t, patience, func() error { return r.has(replicated[r.name]) })
		checkFor(t, patience, func() error { return r.has(after) })
		for content, n := range r.got {
			if n > 1 && content[0] != 'p' {
				t.Errorf("%s has %q %d times", r.name, content, n)
			}
		}
		if r.closed {
			t.Errorf("%s was closed", r.name)
		}
	}
}

// snapshot is what has been acknowledged so far.
func (l *load) snapshot() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string][]string)
	for name, list := range l.acked {
		out[name] = list[:len(list):len(list)]
	}
	return out
}
