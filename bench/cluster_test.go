//go:build linux

package bench

import (
	"testing"
	"time"
)

// TestCluster is bench/cluster in small.
func TestCluster(t *testing.T) {
	binary, err := realServer()
	if err != nil {
		t.Fatal(err)
	}
	o := ClusterOptions{Server: binary, Nodes: 3, Subscribers: 200, Channels: 20, Rate: 100, Broadcasts: 2,
		Duration: time.Second, Settle: 100 * time.Millisecond, Hold: 300 * time.Millisecond}
	results, err := Cluster(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		if r.Failures != 0 || r.Total.Connected != 600 || r.Nodes != 3 || r.StoreRSS == 0 {
			t.Errorf("%d nodes, %d connected, Redis has %d bytes: %s", r.Nodes, r.Total.Connected, r.StoreRSS, r.verdict())
		}
	}
	publish, broadcast := results[0].Total, results[1].Total
	if publish.Answered < 100 || publish.Deliveries != publish.Answered*600/20 {
		t.Errorf("%d messages of 30 subscribers each, %d deliveries", publish.Answered, publish.Deliveries)
	}
	if broadcast.Answered != 2 || broadcast.Deliveries != 2*600 {
		t.Errorf("%d broadcasts to 600, %d deliveries", broadcast.Answered, broadcast.Deliveries)
	}
}

// TestSubscribersAreSpread: each channel has as many on every node.
func TestSubscribersAreSpread(t *testing.T) {
	const nodes, channels, each, procs = 4, 12, 2, 3
	count := map[[2]int]int{}
	for index := range procs {
		j := job{Index: index, Scenario: Scenario{Procs: procs, Groups: []Group{{Subscribers: nodes * channels * each, Channels: channels, Size: MinSize}}}}
		for i := range nodes {
			address := string(rune('1' + i))
			j.Nodes = append(j.Nodes, Node{Front: "127.0.0.1:" + address, Admin: "127.0.0.1:9"})
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
