//go:build linux

package bench

import (
	"os"
	"runtime"
	"strings"

	"icomet/bench/load"
	"icomet/bench/report"
	"icomet/bench/tally"
)

// evaluate computes the figures from what was collected.
func (c *session) evaluate() error {
	r := c.result
	if err := merge(r, c.sheets); err != nil {
		return err
	}
	if c.server.Started { // else the high-water mark may be older than this run
		_, peak := c.server.Processes.Memory() // sees what falls between two samples
		r.RSSPeak = max(r.RSSPeak, peak)
	}
	if n := r.Total.Connected - r.Total.Cycles; n > 0 {
		r.RSSEach = float64(r.RSSIdle-r.RSSFresh) / float64(n)
	}
	rates(r)
	return nil
}

// merge adds up the workers' sheets in r.
func merge(r *report.Result, sheets []*load.Sheet) error {
	var latency, answer, cycle [][]byte
	var opening int64
	for _, s := range sheets {
		r.Total.Add(s.Total)
		r.Measured.Add(s.Measured)
		r.Seconds = max(r.Seconds, s.Seconds)
		r.ClientCPU += s.CPU
		r.ClientRSS += s.RSS
		opening = max(opening, s.Opening)
		if r.FirstFailure == "" {
			r.FirstFailure = s.FirstFailure
		}
		if s.Latency == nil {
			continue // the probe's
		}
		latency, answer, cycle = append(latency, s.Latency), append(answer, s.Answer), append(cycle, s.Cycle)
	}
	r.Failures = r.Total.Failures()
	if opening > 0 {
		r.ConnectRate = float64(r.Total.Connected-r.Total.Cycles) / (float64(opening) / 1e9)
	}
	l, err := tally.Merge(latency...)
	if err != nil {
		return err
	}
	a, err := tally.Merge(answer...)
	if err != nil {
		return err
	}
	c, err := tally.Merge(cycle...)
	if err != nil {
		return err
	}
	r.Latency, r.Answer, r.Cycle = tally.QuantilesOf(l), tally.QuantilesOf(a), tally.QuantilesOf(c)
	if r.LatencyHistogram, err = tally.Encode(l); err != nil {
		return err
	}
	r.AnswerHistogram, err = tally.Encode(a)
	return err
}

// rates computes rates and CPU for each event from counts and CPU.
func rates(r *report.Result) {
	if r.Seconds > 0 {
		r.PublishRate = float64(r.Measured.Answered) / r.Seconds
		r.DeliveryRate = float64(r.Measured.Deliveries) / r.Seconds
		r.CycleRate = float64(r.Measured.Cycles) / r.Seconds
	}
	per := r.Measured.Deliveries
	r.CPUOf = "deliveries"
	switch {
	case r.Measured.Cycles > 0 && len(r.Scenario.Groups) == 1:
		per, r.CPUOf = r.Measured.Cycles, "cycles"
	case per == 0:
		per, r.CPUOf = r.Measured.Answered, "publishes"
	}
	if per > 0 {
		r.CPUPerMillion = r.ServerCPU / float64(per) * 1e6
	}
	if r.HoldNoops > 0 && r.Scenario.Hold > 0 {
		r.NoopCPU = r.HoldCPU / 100 * r.Scenario.Hold.Seconds() / float64(r.HoldNoops) * 1e6
	}
}

func thisMachine() report.Machine {
	m := report.Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.Model = strings.TrimSpace(strings.TrimLeft(line, "\t: "))
		}
	}
	return m
}
