package channel

import (
	"testing"

	"icomet/internal/imports"
)

// TestImports: the product without a network builds and runs anywhere.
func TestImports(t *testing.T) {
	imports.Only(t, "std")
	imports.Forbid(t, imports.Rules{
		"net":               "channels know no connections",
		"golang.org/x/...":  "the standard library is enough, in tests too",
		"github.com/...":    "the standard library is enough, in tests too",
		"icomet/server/...": "the server imports channel",
	})
}
