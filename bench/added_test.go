//go:build linux

package bench

import (
	"strings"
	"testing"
	"time"

	"icomet/bench/internal/benchtest"
	"icomet/bench/protocol"
	"icomet/bench/scenario"
	"icomet/bench/target"
)

// TestAddedSubscriptions: the figure is of the additional subscriptions alone. On a server
// of this size it is coarse: the collector's reserve is part of it.
func TestAddedSubscriptions(t *testing.T) {
	t.Parallel()
	s, err := scenario.Preset("idle", scenario.Options{Subscribers: 1000, Channels: 100, Each: 50, Broadcasts: 1, Transport: protocol.WS,
		Settle: 100 * time.Millisecond, Duration: time.Minute, Drain: time.Minute, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r, err := RunAdded(t.Context(), s, target.Target{Command: benchtest.Server(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failures != 0 || r.Total.Deliveries != 50_000 || r.RSSAdded < 20 || r.RSSAdded > 500 {
		t.Errorf("%g B of RSS for each additional subscription; %s", r.RSSAdded, r.Verdict())
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "per additional subscription") {
		t.Errorf("%v in %s", err, table.String())
	}
}
