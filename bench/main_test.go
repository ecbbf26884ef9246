//go:build linux

package bench

import (
	"context"
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

func TestMain(m *testing.M) { benchtest.Main(m) }

// mustRun runs a scenario; the test ends when it cannot be run at all.
func mustRun(t *testing.T, s scenario.Scenario, target target.Target) *report.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, err := Run(ctx, s, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// runUntil runs a scenario for first, and four times as long again until enough of it has
// happened: on a busy machine a second may pass without a message. The last result is
// returned in any case; the caller checks it.
func runUntil(first time.Duration, run func(time.Duration) *report.Result, enough func(*report.Result) bool) *report.Result {
	for d := first; ; d *= 4 {
		if r := run(d); enough(r) || d > 30*time.Second {
			return r
		}
	}
}
