package snapshot

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/channel")
	imports.Forbid(t, imports.Rules{
		"net/...": "the file knows no connections",
		"log/...": "the caller reports errors",
	})
}
