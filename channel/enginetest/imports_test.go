package enginetest

import (
	"testing"

	"icomet/internal/imports"
)

// TestImports: every engine can run the suite without another dependency.
func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/channel")
}
