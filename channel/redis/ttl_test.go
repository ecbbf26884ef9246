package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"icomet/channel"
)

// TestBufferTTL: a message is stored as long as its class says, on a node that has started
// after it was published, too, and in Redis.
func TestBufferTTL(t *testing.T) {
	t.Parallel()
	limits := testLimits
	limits.BufferTTL = 2 * time.Second
	s, n := startNodes(t, 1, limits)
	first := n[0].publishTo("c", "old")
	stored := time.Now()
	other := startNode(t, testOptions(s.Addr()), limits)
	position := channel.Join{Name: []byte("c"), Since: 1, Position: true, Epoch: first.Epoch}
	has := func(n *testNode, want int64) error {
		j, err := n.tryJoin(position)
		if err != nil {
			return err
		}
		if j.First != want {
			return fmt.Errorf("what follows begins at %d, not at %d: %+v", j.First, want, j)
		}
		if lost := j.Recovery.Lost; j.Recovery.Recovered != (want == 1) || lost != want-1 {
			return fmt.Errorf("%+v", j.Recovery)
		}
		return nil
	}
	if err := errors.Join(has(n[0], 1), has(other, 1)); err != nil && time.Since(stored) < limits.BufferTTL {
		t.Fatal(err)
	}
	for _, n := range []*testNode{n[0], other, startNode(t, testOptions(s.Addr()), limits)} {
		checkFor(t, patience, func() error { return has(n, 2) })
	}
	if age := time.Since(stored); age < limits.BufferTTL {
		t.Errorf("gone after %v", age)
	}
	p := n[0].partition([]byte("c"))
	checkFor(t, patience, func() error {
		if got := s.CLI("llen", p.base+"h:c"); got != "0\n" {
			return fmt.Errorf("Redis has %s", got)
		}
		return nil
	})
}
