//go:build linux

package load

import (
	"testing"

	"icomet/bench/protocol"
	"icomet/bench/scenario"
)

// TestSubscribersAreSpread: each channel has as many on every node.
func TestSubscribersAreSpread(t *testing.T) {
	const nodes, channels, each, procs = 4, 12, 2, 3
	count := map[[2]int]int{}
	for index := range procs {
		j := Job{Index: index, Scenario: scenario.Scenario{Procs: procs, Groups: []scenario.Group{{Subscribers: nodes * channels * each, Channels: channels, Size: protocol.MinSize}}}}
		for i := range nodes {
			address := string(rune('1' + i))
			j.Fronts, j.Admins = append(j.Fronts, "127.0.0.1:"+address), append(j.Admins, "127.0.0.1:9")
		}
		w, err := newWorker(j, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range w.subs {
			s := &w.subs[slot]
			count[[2]int{int(s.channel), int(w.frontOf(uint32(slot), s).Port())}]++
		}
		w.close()
	}
	if len(count) != nodes*channels {
		t.Errorf("%d pairs of channel and node, want %d", len(count), nodes*channels)
	}
	for pair, n := range count {
		if n != each {
			t.Errorf("channel and node %v have %d subscribers, want %d", pair, n, each)
		}
	}
}
