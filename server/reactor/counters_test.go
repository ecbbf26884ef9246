package reactor

import (
	"testing"
	"time"
)

// TestWorstLag: a lag stays in sight for a window and goes after two.
func TestWorstLag(t *testing.T) {
	t.Parallel()
	var w lagWatch
	for _, step := range []struct{ at, lag, want time.Duration }{
		{0, 1, 1}, {1, 9, 9}, {2, 3, 9},
		{lagWindow, 2, 9}, {2*lagWindow - 1, 4, 9}, {2 * lagWindow, 1, 4}, {3 * lagWindow, 1, 1},
	} {
		w.add(step.at, step.lag)
		if got := w.Load(); got != step.want {
			t.Errorf("at %v: %v, want %v", step.at, got, step.want)
		}
	}
}
