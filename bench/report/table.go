//go:build linux

package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"icomet/bench/scenario"
	"icomet/bench/tally"
)

// metric is one figure of a result, as tables show it.
type metric struct {
	Name  string
	Unit  string
	Value float64
}

// metrics lists the figures that a result has; those that a scenario cannot have are left
// out.
func (r *Result) metrics() []metric {
	var list []metric
	add := func(has bool, name, unit string, value float64) {
		if has {
			list = append(list, metric{name, unit, value})
		}
	}
	times := func(what string, q tally.Quantiles) {
		add(q.Count > 0, what+" p50", "ms", q.P50)
		add(q.Count > 0, what+" p90", "ms", q.P90)
		add(q.Count > 0, what+" p99", "ms", q.P99)
		add(q.Count > 0, what+" p99.9", "ms", q.P999)
		add(q.Count > 0, what+" max", "ms", q.Max)
	}
	const mb = 1 << 20
	local := r.RSSFresh > 0 // the server's /proc entries could be read
	add(r.Total.Connected > 0 && r.ConnectRate > 0, "connections", "1/s", r.ConnectRate)
	add(r.Measured.Answered > 0, "publishes", "1/s", r.PublishRate)
	add(r.Measured.Deliveries > 0, "deliveries", "1/s", r.DeliveryRate)
	add(r.CycleRate > 0, "cycles", "1/s", r.CycleRate)
	times("latency", r.Latency)
	times("answer", r.Answer)
	times("cycle", r.Cycle)
	times("probe", r.Probe)
	add(local && r.CPUPerMillion > 0, "server CPU per million "+r.CPUOf, "s", r.CPUPerMillion)
	add(local && r.Scenario.Hold > 0, "server CPU while holding", "% of a core", r.HoldCPU)
	add(r.StoreRSS > 0 && r.Scenario.Hold > 0, "store CPU while holding", "% of a core", r.HoldStoreCPU)
	add(local && r.NoopCPU > 0, "server CPU per million heartbeats", "s", r.NoopCPU)
	add(local && r.RSSEach > 0, "server RSS per connection", "B", r.RSSEach)
	add(local && r.RSSAdded > 0, "server RSS per additional subscription", "B", r.RSSAdded)
	add(local, "server RSS fresh", "MiB", float64(r.RSSFresh)/mb)
	add(local, "server RSS idle", "MiB", float64(r.RSSIdle)/mb)
	add(local, "server RSS peak", "MiB", float64(r.RSSPeak)/mb)
	add(local, "server descriptors", "", float64(r.Descriptors))
	add(r.GCKnown, "server GC cycles", "", float64(r.GCCycles))
	add(r.GCKnown, "server GC pauses", "ms", r.GCPause)
	add(r.ServerCPU > 0, "server CPU", "s", r.ServerCPU)
	add(r.StoreRSS > 0, "store CPU", "s", r.StoreCPU)
	add(r.StoreRSS > 0, "store RSS", "MiB", float64(r.StoreRSS)/mb)
	add(r.ClientCPU > 0, "client CPU", "s", r.ClientCPU)
	add(true, "client RSS", "MiB", float64(r.ClientRSS)/mb)
	return list
}

// WriteTable writes a result as text, with a column of names and one of figures. The error
// is w's.
func (r *Result) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	on := r.Server
	if r.Nodes > 1 {
		on = fmt.Sprintf("%d nodes of %s", r.Nodes, r.Server)
	}
	fmt.Fprintf(t, "%s on %s\n", r.Scenario.Name, on)
	for _, g := range r.Scenario.Groups {
		fmt.Fprintf(t, "  %s\t%s\n", g.Name, describe(g))
	}
	for _, m := range r.metrics() {
		fmt.Fprintf(t, "  %s\t%s %s\n", m.Name, Number(m.Value), m.Unit)
	}
	fmt.Fprintf(t, "  checked\t%s\n", r.Verdict())
	return t.Flush()
}

// describe says in a few words what a group does.
func describe(g scenario.Group) string {
	loop := fmt.Sprintf("closed loop, depth %d", g.Depth)
	if g.AnswersOnly {
		loop += ", answers only"
	}
	if g.Rate > 0 {
		loop = fmt.Sprintf("open loop, %g/s", g.Rate)
	}
	var parts []string
	if g.Subscribers > 0 {
		parts = append(parts, fmt.Sprintf("%d %s subscribers", g.Subscribers, g.Transport))
	}
	if g.Slow > 0 {
		parts = append(parts, fmt.Sprintf("%d of them slow", g.Slow))
	}
	channels := fmt.Sprintf("%d channels", g.Channels)
	if g.Each > 1 {
		channels = fmt.Sprintf("%d of %s each", g.Each, channels)
	}
	parts = append(parts, channels)
	switch {
	case g.Broadcasts > 0:
		parts = append(parts, fmt.Sprintf("%d broadcasts of %d B", g.Broadcasts, g.Size))
	case g.Publishers > 0:
		parts = append(parts, fmt.Sprintf("%d publishers of %d B", g.Publishers, g.Size), loop)
	}
	return strings.Join(parts, ", ")
}

// Verdict says in one line what was checked and what was wrong, with the first failure.
func (r *Result) Verdict() string {
	t := r.Total
	s := fmt.Sprintf("%d deliveries, %d publishes, %d heartbeats", t.Deliveries, t.Answered, t.Noops)
	if t.Refused > 0 {
		s += fmt.Sprintf(", %d refused as overload and sent again", t.Refused)
	}
	if t.SlowCut > 0 {
		s += fmt.Sprintf(", %d slow readers cut off", t.SlowCut)
	}
	if r.Failures == 0 {
		return s + ": nothing lost, duplicated, reordered or corrupt"
	}
	return s + fmt.Sprintf(": FAILED: %d lost, %d duplicated, %d reordered, %d corrupt, %d closed, %d not connected, %d not published; first: %s",
		t.Lost, t.Duplicated, t.Reordered, t.Corrupt, t.Closed, t.ConnectFailed, t.PublishFailed, r.FirstFailure)
}

// Number formats v with three or more significant digits, and commas between thousands.
func Number(v float64) string {
	switch {
	case v >= 1000:
		return thousands(int64(v + 0.5))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
