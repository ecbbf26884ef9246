//go:build linux

package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/protocol"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// smoke is a short run of every scenario, and of what the flags can change.
var smoke = []struct {
	name     string
	scenario string
	options  scenario.Options
}{
	{"idle", "idle", scenario.Options{Subscribers: 200, Hold: 100 * time.Millisecond, Broadcasts: 3}},
	{"fanout stream", "fanout", scenario.Options{Subscribers: 200}},
	{"fanout sse", "fanout", scenario.Options{Subscribers: 200, Transport: protocol.SSE}},
	{"fanout iframe", "fanout", scenario.Options{Subscribers: 200, Transport: protocol.Iframe}},
	{"fanout ws", "fanout", scenario.Options{Subscribers: 200, Transport: protocol.WS}},
	{"fanout ws large", "fanout", scenario.Options{Subscribers: 20, Transport: protocol.WS, Size: 100_000}},
	{"fanout large", "fanout", scenario.Options{Subscribers: 20, Size: 100_000}},
	{"fanout open loop", "fanout", scenario.Options{Subscribers: 200, Rate: 50}},
	{"fanout several processes", "fanout", scenario.Options{Subscribers: 200, Channels: 3, Publishers: 2, Procs: 3}},
	{"fanout with a probe", "fanout", scenario.Options{Subscribers: 200, Probe: 50}},
	{"unicast", "unicast", scenario.Options{Subscribers: 100, Publishers: 8}},
	{"unicast open loop", "unicast", scenario.Options{Subscribers: 100, Publishers: 8, Rate: 1000}},
	{"unicast several processes", "unicast", scenario.Options{Subscribers: 100, Publishers: 8, Procs: 2}},
	{"publish", "publish", scenario.Options{Publishers: 8}},
	{"publish pipelined", "publish", scenario.Options{Publishers: 8, Depth: 16}},
	{"poll", "poll", scenario.Options{Subscribers: 200}},
	{"churn", "churn", scenario.Options{Subscribers: 20}},
	{"churn ws", "churn", scenario.Options{Subscribers: 20, Transport: protocol.WS}},
	{"churn open loop", "churn", scenario.Options{Subscribers: 20, Rate: 200}},
	{"slow", "slow", scenario.Options{Subscribers: 50, Slow: 0.2}},
	{"slow ws", "slow", scenario.Options{Subscribers: 50, Slow: 0.2, Transport: protocol.WS}},
	{"multi stream", "multi", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Publishers: 4}},
	{"multi sse", "multi", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Publishers: 4, Transport: protocol.SSE}},
	{"multi iframe", "multi", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Publishers: 4, Transport: protocol.Iframe}},
	{"multi ws", "multi", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Publishers: 4, Transport: protocol.WS}},
	{"multi open loop", "multi", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Publishers: 4, Rate: 500, Transport: protocol.WS}},
	{"multi several processes", "multi", scenario.Options{Subscribers: 31, Channels: 40, Each: 10, Publishers: 4, Procs: 3, Transport: protocol.WS}},
	{"multi broadcasts", "idle", scenario.Options{Subscribers: 30, Channels: 40, Each: 10, Broadcasts: 3, Transport: protocol.SSE}},
	{"mixed", "mixed", scenario.Options{Subscribers: 200, Rate: 200}},
}

// smokeOverTLS are those in which TLS makes a difference. With the race detector a handshake
// takes milliseconds on both sides, which are this process, so they are few and small.
var smokeOverTLS = []string{
	"idle", "fanout stream", "fanout ws large", "fanout several processes", "unicast open loop", "poll", "churn", "slow", "multi ws", "mixed",
}

func TestSmokeOnCeiling(t *testing.T) { runSmoke(t, target.Ceiling, false) }

// TestSmokeOverTLS: over TLS a run counts the same as over TCP.
func TestSmokeOverTLS(t *testing.T) { runSmoke(t, target.Ceiling, true) }

func TestSmokeOnServer(t *testing.T) {
	binary := benchtest.Server(t)
	runSmoke(t, binary, false)
}

// runSmoke starts one server for all of them. It makes the test a parallel one.
func runSmoke(t *testing.T, command string, secure bool) {
	t.Helper()
	t.Parallel()
	s, err := target.Target{Command: command}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	target := target.Target{Running: s.Nodes, TLS: secure}
	if secure {
		target.Running[0].Front, target.CA = terminate(t, s.Nodes[0].Front)
	}
	for _, test := range smoke {
		if secure {
			if !slices.Contains(smokeOverTLS, test.name) {
				continue
			}
			test.options.Subscribers = min(test.options.Subscribers, 30)
		}
		t.Run(test.name, func(t *testing.T) {
			o := test.options
			if o.Broadcasts == 0 { // a broadcast reaches the subscribers of all
				t.Parallel()
			}
			o.Warmup, o.Drain, o.Timeout = 100*time.Millisecond, 20*time.Second, 20*time.Second
			if o.Slow == 0 {
				o.Slow = -1
			}
			r := runUntil(400*time.Millisecond, func(d time.Duration) *report.Result {
				o.Duration = d
				s, err := scenario.Preset(test.scenario, o)
				if err != nil {
					t.Fatal(err)
				}
				return mustRun(t, s, target)
			}, func(r *report.Result) bool { return measuredAll(r, o) })
			checkSmoke(t, r, o)
		})
	}
}

// measuredAll reports that the counted time has seen all broadcasts, and some of each thing
// that is measured.
func measuredAll(r *report.Result, o scenario.Options) bool {
	subscribers := 0
	for _, g := range r.Scenario.Groups {
		subscribers += g.Subscribers
	}
	return r.Answer.Count > 0 && r.Total.Answered >= int64(o.Broadcasts) && (subscribers == 0 || r.Latency.Count > 0) &&
		(o.Probe == 0 || r.Probe.Count > 0) && (r.Scenario.Name != "churn" || r.Cycle.Count > 0)
}

func checkSmoke(t *testing.T, r *report.Result, o scenario.Options) {
	t.Helper()
	if r.Failures != 0 {
		t.Errorf("%d failures: %s", r.Failures, r.Verdict())
	}
	want := int64(0)
	for _, g := range r.Scenario.Groups {
		if !g.Churn {
			want += int64(g.Subscribers)
		}
	}
	if o.Probe > 0 {
		want++
		if r.Probe.Count == 0 {
			t.Error("the probe measured nothing")
		}
	}
	if got := r.Total.Connected - r.Total.Cycles; got != want {
		t.Errorf("%d connected, want %d", got, want)
	}
	if r.Total.Answered == 0 || r.Total.Answered != r.Total.Sent {
		t.Errorf("%d of %d publishes answered", r.Total.Answered, r.Total.Sent)
	}
	if want > 0 && (r.Total.Deliveries == 0 || r.Latency.Count == 0 || r.Latency.Max == 0) {
		t.Errorf("%d deliveries, latencies %+v", r.Total.Deliveries, r.Latency)
	}
	if all := want * int64(max(1, o.Each)*o.Broadcasts); o.Broadcasts > 0 && r.Total.Deliveries != all {
		t.Errorf("%d deliveries, want %d", r.Total.Deliveries, all)
	}
	if r.Scenario.Name == "churn" && (r.Total.Cycles == 0 || r.Cycle.Count == 0) {
		t.Error("no cycle")
	}
	if r.RSSFresh == 0 || r.RSSPeak < r.RSSFresh || r.Descriptors == 0 {
		t.Errorf("figures of the server's process: RSS fresh %d, peak %d, %d descriptors", r.RSSFresh, r.RSSPeak, r.Descriptors)
	}
	checkOutputs(t, r)
}

// checkOutputs looks at the forms in which a result is put out.
func checkOutputs(t *testing.T, r *report.Result) {
	t.Helper()
	var table, page bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Error(err)
	}
	if !strings.Contains(table.String(), "nothing lost") {
		t.Errorf("table without its verdict:\n%s", table.String())
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Error(err)
	}
	for _, from := range []string{"<script", "<link", "src=", "url("} {
		if strings.Contains(page.String(), from) {
			t.Errorf("the page is not self-contained: it has %s", from)
		}
	}
	if !strings.Contains(page.String(), "<svg") {
		t.Error("the page has no plot")
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back report.Result
	if err := json.Unmarshal(b, &back); err != nil || back.Total != r.Total || back.Latency != r.Latency {
		t.Errorf("JSON does not come back: %v", err)
	}
}
