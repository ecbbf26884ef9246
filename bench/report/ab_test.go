//go:build linux

package report

import (
	"math"
	"slices"
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
	b.Reset()
	if err := c.WriteTable(&b); err != nil || !strings.Contains(b.String(), "0.50  0.50…0.50") {
		t.Errorf("%v in %s", err, b.String())
	}
}

func TestServersWithFlags(t *testing.T) {
	for server, want := range map[string]string{"ceiling": "ceiling", " /x/s -f": "s", "/x/s -f -- -transport ws": "s -transport ws"} {
		if got := label(server); got != want {
			t.Errorf("%q is shown as %q, want %q", server, got, want)
		}
	}
	if command, flags := CutFlags("/x/s -f -- -n 5  -each 1"); command != "/x/s -f" || !slices.Equal(flags, []string{"-n", "5", "-each", "1"}) {
		t.Errorf("%q, %q", command, flags)
	}
}
