package redis

import (
	"fmt"
	"testing"

	"icomet/channel"
)

// TestNewEpoch: when one node has delivered messages that Redis has lost, the channel gets
// a new epoch. Its subscribers are told where to go on, those of the other nodes that they
// miss nothing, and whoever comes back with the old epoch that nobody can know.
func TestNewEpoch(t *testing.T) {
	t.Parallel()
	_, n := startNodes(t, 3, testLimits)
	var old uint32
	here, there := n[0].join("c", 0), n[1].join("c", 0)
	for i := range 3 {
		old = n[2].publishTo("c", itoa(i+1)).Epoch
	}
	had := []channel.Message{data(1, "1"), data(2, "2"), data(3, "3")}
	n[0].wait(here.Channel, had...)
	n[1].wait(there.Channel, had...)
	// What the master that has died had sent to the first node only:
	p := n[0].partition([]byte("c"))
	p.mu.Lock()
	m := p.mirrors["c"]
	lost := event{kind: kindData, epoch: m.epoch, seq: 4, before: m.mark, mark: "01d01d01", content: "lost"}
	p.mu.Unlock()
	n[0].receive(p, "c", lost)
	n[0].wait(here.Channel, append(had, data(4, "lost"))...)
	n[0].compareAll()

	epoch := func() uint32 {
		j, err := n[2].tryJoin(channel.Join{Name: []byte("c"), OneShot: true})
		if err != nil {
			t.Fatal(err)
		}
		return j.Channel.Epoch()
	}
	checkFor(t, patience, func() error {
		if epoch() == old {
			return fmt.Errorf("its epoch is still %08x", old)
		}
		return nil
	})
	n[0].wait(here.Channel, append(had, data(4, "lost"), channel.Message{Seq: 4, Type: channel.Moved})...)
	renamed := channel.Renamed(4, epoch())
	renamed.At = 0 // the test's sink has no times
	n[1].wait(there.Channel, append(had, renamed)...)
	if got := n[1].sink.renamed(); len(got) != 1 || got[0] != epoch() {
		t.Errorf("the other node's subscribers are told the epochs %08x, the channel has %08x", got, epoch())
	}
	for i, node := range n {
		j, err := node.tryJoin(channel.Join{Name: []byte("c"), Since: 4, Position: true, Epoch: old})
		if want := (channel.Recovery{Lost: channel.LostUnknown, Reason: channel.ReasonEpoch}); err != nil || j.Recovery != want {
			t.Errorf("node %d: %+v, %v", i, j.Recovery, err)
		}
	}
	if n[0].stats.gaps.Load() != 1 || n[1].stats.gaps.Load() != 0 {
		t.Errorf("%d and %d gaps are counted", n[0].stats.gaps.Load(), n[1].stats.gaps.Load())
	}
}
