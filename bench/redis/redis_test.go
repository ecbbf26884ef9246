//go:build linux

package redis

import (
	"strings"
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/tally"
)

func TestMain(m *testing.M) { benchtest.Main(m) }

// TestRedisFigures is bench/redis in short.
func TestRedisFigures(t *testing.T) {
	command := benchtest.RedisServer(t)
	round, err := MeasureCost(t.Context(), CostOptions{Server: command, Script: "../../channel/redis/scripts/publish.lua",
		Library: "echo 1.5 cpu-µs/op", Duration: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Cost{"redis-benchmark": round.Benchmark, "publish": round.Publish} {
		if c.Rate == 0 || c.Redis == 0 || c.RedisShare == 0 || c.Client == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if m := round.Memory; m.Rate == 0 || m.Server == 0 || m.Redis != 0 || round.Library != 1.5 {
		t.Errorf("memory %+v, library %v", m, round.Library)
	}
	pair, err := StartPair(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pair.Stop(); err != nil {
			t.Error(err)
		}
	})
	d := delays(t, pair)
	for _, q := range []tally.Quantiles{d.Memory, d.SameNode, d.OtherNode} {
		if q.Count < delayRate/10 || q.P99 == 0 {
			t.Errorf("latency %+v", q)
		}
	}
	b := bystander(t, pair)
	if b.Published < 100 || b.Received != 0 {
		t.Errorf("%+v: a node without subscribers of a channel gets nothing of it", b)
	}
	checkRedisReport(t, &Report{Rounds: []Round{round}, Delays: []Delays{d}, Bystander: b})
}

// delays measures for longer and longer until there are enough messages: the machine may be
// busy.
func delays(t *testing.T, pair *Pair) Delays {
	t.Helper()
	for lasting := 300 * time.Millisecond; ; lasting *= 4 {
		d, err := pair.Delays(t.Context(), lasting)
		if err != nil {
			t.Fatal(err)
		}
		if min(d.Memory.Count, d.SameNode.Count, d.OtherNode.Count) >= delayRate/10 || lasting > 15*time.Second {
			return d
		}
	}
}

// bystander does the same with Bystander.
func bystander(t *testing.T, pair *Pair) Bystander {
	t.Helper()
	for lasting := 500 * time.Millisecond; ; lasting *= 4 {
		b, err := pair.Bystander(t.Context(), 500, lasting)
		if err != nil {
			t.Fatal(err)
		}
		if b.Published >= 100 || lasting > 15*time.Second {
			return b
		}
	}
}

func checkRedisReport(t *testing.T, r *Report) {
	t.Helper()
	var out strings.Builder
	for _, write := range []error{r.WriteCosts(&out), r.WriteDelays(&out), r.WriteBystander(&out)} {
		if write != nil {
			t.Error(write)
		}
	}
	for _, want := range []string{"rate, by redis-benchmark's: ", "on another node", "0 came to it"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
