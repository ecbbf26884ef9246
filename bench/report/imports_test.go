package report

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/load":     "a Result can be read and shown without the engine",
		"icomet/bench/target":   "a server is a name here",
		"icomet/bench/procstat": "figures are measured below and filled in by bench",
		"icomet/bench/protocol": "a transport is shown by its name",
	})
}
