package procstat

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench": "a leaf: a process is a process, whatever it does",
	})
}
