//go:build linux

package bench

import (
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// TestSlowReaders: those that stop reading are cut off once more waits for them
// than the server and the kernel hold, and until then miss nothing.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	binary := benchtest.Server(t)
	run := func(d time.Duration, size int, rate float64) *report.Result {
		s, err := scenario.Preset("slow", scenario.Options{Subscribers: 10, Slow: 0.2, Size: size, Rate: rate,
			Duration: d, Drain: 20 * time.Second, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return mustRun(t, s, target.Target{Command: binary})
	}
	// Some hundred messages of 200 KB: tens of megabytes for each.
	r := runUntil(time.Second, func(d time.Duration) *report.Result { return run(d, 200_000, 0) },
		func(r *report.Result) bool { return r.Total.SlowCut >= 2 })
	if r.Failures != 0 || r.Total.SlowCut != 2 {
		t.Errorf("closed loop: %s", r.Verdict())
	}
	// A few of 1 KB: nobody need be cut off, and all get all.
	r = runUntil(time.Second, func(d time.Duration) *report.Result { return run(d, 1000, 20) },
		func(r *report.Result) bool { return r.Total.Answered >= 10 })
	if r.Failures != 0 || r.Total.SlowCut != 0 || r.Total.Deliveries != 10*r.Total.Answered || r.Total.Answered < 10 {
		t.Errorf("a few messages: %s", r.Verdict())
	}
}
