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
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := Run(ctx, s, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
