//go:build linux

package bench

import (
	"context"
	"fmt"

	"icomet/bench/report"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// RunAdded is Run, for a scenario whose connections have several channels. Before, it holds
// the same connections with one channel each, idle, on another fresh server: RSSAdded of the
// result is the difference by additional subscription. t must start its server.
func RunAdded(ctx context.Context, s scenario.Scenario, t target.Target, watch func(Progress)) (*report.Result, error) {
	before, err := Run(ctx, s.Single(), t, watch)
	if err != nil {
		return nil, err
	}
	if before.Failures > 0 {
		return nil, fmt.Errorf("connections with one channel each: %d failures: %s", before.Failures, before.FirstFailure)
	}
	r, err := Run(ctx, s, t, watch)
	if err != nil {
		return nil, err
	}
	additional := 0
	for _, g := range s.Groups {
		additional += g.Subscribers * max(0, g.Each-1)
	}
	if additional > 0 {
		r.RSSAdded = float64(r.RSSIdle-r.RSSFresh-before.RSSIdle+before.RSSFresh) / float64(additional)
	}
	return r, nil
}
