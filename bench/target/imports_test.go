package target

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/load":   "a server is started without knowing its load",
		"icomet/bench/tally":  "nothing is counted here",
		"icomet/bench/report": "nothing is shown here",
	})
}
