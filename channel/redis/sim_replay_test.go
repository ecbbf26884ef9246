//go:build !race

// The race detector makes the order of goroutines random, on purpose.

package redis

import (
	"fmt"
	"regexp"
	"testing"
)

var digestOf = regexp.MustCompile(`digest [0-9a-f]+`)

// TestSimulationReplays: a seed gives the same run, byte by byte, whenever it is run.
func TestSimulationReplays(t *testing.T) {
	for i := range profiles {
		if profiles[i].name == "faults" {
			// Stops beside a Redis that hangs end connections of the client library from
			// several goroutines: on a busy machine their order is not always the same.
			continue
		}
		t.Run(profiles[i].name, func(t *testing.T) {
			t.Parallel()
			for seed := range 3 {
				what := fmt.Sprintf("%s:%d", profiles[i].name, seed)
				var digests [2]string
				for k := range digests {
					out, err := simProcess(what)
					if digests[k] = digestOf.FindString(string(out)); err != nil || digests[k] == "" {
						t.Fatalf("%s: %v\n%s", what, err, out)
					}
				}
				if digests[0] != digests[1] {
					t.Errorf("%s: two runs differ", what)
				}
			}
		})
	}
}
