package modeltest

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std", // there are tests only
	)
	imports.Forbid(t, imports.Rules{
		"icomet/server/...":        "the hub alone is tested here",
		"icomet/channel/redis/...": "so is the hub without a store",
	})
}
