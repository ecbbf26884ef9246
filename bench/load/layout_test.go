//go:build linux

package load

import (
	"fmt"
	"slices"
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

// TestSeats: a connection's channels are different ones, all channels have as many
// connections, and members and seatOf find them again.
func TestSeats(t *testing.T) {
	for _, k := range []struct{ subscribers, channels, each int }{{1000, 5000, 50}, {31, 40, 10}, {7, 6, 3}, {5, 3, 3}, {12, 4, 1}, {3, 9, 1}} {
		g := scenario.Group{Subscribers: k.subscribers, Channels: k.channels, Each: k.each, Size: protocol.MinSize}
		want := make([][]int, k.channels)
		const procs = 3
		for index := range procs {
			w, err := newWorker(Job{Index: index, Scenario: scenario.Scenario{Procs: procs, Groups: []scenario.Group{g}}}, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			gs := w.groups[0]
			for slot := range uint32(len(w.subs)) {
				seats := map[uint32]bool{}
				for channel := range uint32(k.channels) {
					if seat, ok := w.seatOf(gs, slot, channel); ok {
						seats[seat] = true
						want[channel] = append(want[channel], w.number(gs, slot))
					}
				}
				if len(seats) != k.each || len(w.appendPlaces(nil, gs, slot)) != k.each {
					t.Fatalf("%+v: connection %d has %d seats", k, slot, len(seats))
				}
			}
			if index < procs-1 {
				continue
			}
			least := k.subscribers * k.each / k.channels
			for channel := range uint32(k.channels) {
				var got []int
				gs.members(channel, func(i int) bool {
					got = append(got, i)
					return true
				})
				slices.Sort(got)
				slices.Sort(want[channel])
				if fmt.Sprint(got) != fmt.Sprint(want[channel]) || len(got) < least || len(got) > least+1 {
					t.Fatalf("%+v: channel %d has %v, want %v", k, channel, got, want[channel])
				}
			}
		}
	}
}
