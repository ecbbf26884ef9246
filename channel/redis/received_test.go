package redis

import (
	"testing"

	"icomet/channel"
)

// TestOthersMessages: what nobody on a node has subscribed to is not brought to it.
func TestOthersMessages(t *testing.T) {
	_, n := startNodes(t, 3, testLimits)
	a := n[0].join("c", 0)
	var want []channel.Message
	for i := range 5 {
		n[1].mustPublish("c", "x")
		want = append(want, data(int64(i+1), "x"))
	}
	n[0].wait(a.Channel, want...)
	own := n[2].join("d", 0)
	n[1].mustPublish("d", "y")
	n[2].wait(own.Channel, data(1, "y")) // anything sent before would have come before
	for i, received := range []uint64{5, 0, 1} {
		if got := n[i].stats.received.Load(); got != received {
			t.Errorf("node %d has received %d messages of pub/sub, want %d", i, got, received)
		}
	}
}
