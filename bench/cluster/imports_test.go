package cluster

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/load":     "load is made by bench.Run only",
		"icomet/bench/protocol": "load is made by bench.Run only",
		"icomet/bench/redis":    "the two measurements are independent",
	})
}
