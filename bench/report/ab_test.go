//go:build linux

package report

import (
	"math"
	"strings"
	"testing"

	"icomet/bench/tally"
)

func TestMedianAndRatio(t *testing.T) {
	for want, v := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}, 0: nil} {
		if got := Median(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("median of %v is %g, want %g", v, got, want)
		}
	}
	result := func(rate float64) *Result { return &Result{DeliveryRate: rate, Measured: tally.Counts{Deliveries: 1}} }
	c := Comparison{Title: "x", Servers: []string{"a", "/x/b -f"}, Results: [][]*Result{{result(100), result(300), result(200)}, {result(50), result(150), result(100)}}}
	var b strings.Builder
	c.Markdown(&b, "deliveries")
	if want := "| x | deliveries, 1/s | 200 | 100 | 0.50 |\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
