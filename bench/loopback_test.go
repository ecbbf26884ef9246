//go:build linux

package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	"icomet/bench/scenario"
	"icomet/bench/target"
)

// TestLoadGoesToLoopback: a run against another host is refused before it connects.
func TestLoadGoesToLoopback(t *testing.T) {
	s, err := scenario.Preset("publish", scenario.Options{Duration: time.Second, Drain: time.Second, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), s, target.Target{Running: []target.Node{{Front: "127.0.0.1:1", Admin: "192.0.2.1:80"}}}, nil); err == nil || !strings.Contains(err.Error(), "127.0.0.0/8 only") {
		t.Errorf("load on another host is not refused: %v", err)
	}
}
