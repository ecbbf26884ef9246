//go:build linux

package cluster

import (
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/report"
)

func TestMain(m *testing.M) { benchtest.Main(m) }

// TestCluster is bench/cluster in small.
func TestCluster(t *testing.T) {
	command := benchtest.RedisServer(t)
	o := Options{Server: command, Nodes: 3, Subscribers: 200, Channels: 20, Rate: 100, Broadcasts: 2,
		Duration: time.Second, Settle: 100 * time.Millisecond, Hold: 300 * time.Millisecond}
	results := run(t, o)
	for ; results[0].Total.Answered < 100 && o.Duration < 30*time.Second; results = run(t, o) {
		o.Duration *= 4 // the machine is busy
	}
	for _, r := range results {
		if r.Failures != 0 || r.Total.Connected != 600 || r.Nodes != 3 || r.StoreRSS == 0 {
			t.Errorf("%d nodes, %d connected, Redis has %d bytes: %s", r.Nodes, r.Total.Connected, r.StoreRSS, r.Verdict())
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

func run(t *testing.T, o Options) []*report.Result {
	t.Helper()
	results, err := Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	return results
}
