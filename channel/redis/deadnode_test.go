package redis

import (
	"fmt"
	"icomet/channel/redis/redistest"
	"testing"
	"time"
)

// die makes a node vanish like a killed process.
func (n *testNode) die() {
	close(n.quiet)
	n.mu.Lock()
	n.stopped = true
	n.mu.Unlock()
	n.disconnect()
}

// TestDeadNode: a dead node's subscribers keep a channel alive for node_timeout plus the
// longer of node_timeout and the channel's own time, not longer.
func TestDeadNode(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.Timeout = time.Second
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.NodeTimeout = 2 * time.Second
	alive, dead := startNode(t, o, limits), startNode(t, o, limits)
	for range 3 {
		dead.join("dying", 0)
	}
	dead.join("both", 0)
	alive.join("both", 0)
	checkFor(t, patience, func() error {
		if n := len(alive.nodes.list()); n != 2 {
			return fmt.Errorf("%d nodes are known", n)
		}
		return alive.counts("both", 2, 5)
	})
	dead.die()
	died := time.Now()
	checkFor(t, patience, func() error {
		if r := alive.info("dying"); r.Alive {
			return fmt.Errorf("it is still alive: %+v", r)
		}
		return alive.counts("both", 1, 1)
	})
	if age := time.Since(died); age > o.NodeTimeout+max(limits.Timeout, o.NodeTimeout)+lateness {
		t.Errorf("noticed and freed after %v", age)
	}
	checkFor(t, patience, func() error {
		if n := len(alive.nodes.list()); n != 1 {
			return fmt.Errorf("%d nodes are known", n)
		}
		return nil
	})
	if keys := s.CLI("keys", "t:*"+dead.node+"*"); keys != "\n" {
		t.Errorf("left of the dead node: %s", keys)
	}
}

// TestTakenForDead: a node that was silent for too long and comes back is counted again.
func TestTakenForDead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := testOptions(s.Addr())
	o.NodeTimeout = 2 * time.Second
	n := []*testNode{startNode(t, o, testLimits), startNode(t, o, testLimits)}
	n[1].join("c", 0)
	checkFor(t, patience, func() error { // on a busy machine it may be back before this looks
		if err := n[0].forget(t.Context(), n[1].node); err != nil { // as if it had been silent
			t.Fatal(err)
		}
		if r := n[0].info("c"); r.Subscribers != 0 {
			return fmt.Errorf("it is not forgotten: %+v", r)
		}
		return nil
	})
	checkFor(t, patience, func() error { return n[0].counts("c", 1, 1) })
}

// TestStopLeaves: when a node stops, its subscribers are no longer counted, at once.
func TestStopLeaves(t *testing.T) {
	t.Parallel()
	s, n := startNodes(t, 2, testLimits)
	n[1].join("c", 0)
	checkFor(t, patience, func() error { return n[0].counts("c", 1, 1) })
	n[1].end()
	if r := n[0].info("c"); r.Subscribers != 0 || !r.Alive {
		t.Errorf("after its stop: %+v", r)
	}
	if keys := s.CLI("keys", "t:*"+n[1].node+"*"); keys != "\n" {
		t.Errorf("left of it: %s", keys)
	}
}
