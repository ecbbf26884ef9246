package scenario

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/load":     "what a run does is said without knowing how",
		"icomet/bench/target":   "the same scenario runs on every server",
		"icomet/bench/tally":    "nothing is counted here",
		"icomet/bench/report":   "nothing is shown here",
		"icomet/bench/procstat": "nothing is measured here",
	})
}
