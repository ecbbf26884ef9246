package deflate

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "github.com/klauspost/compress/flate")
	imports.Forbid(t, imports.Rules{
		"net": "it makes bytes of bytes",
		"os":  "it has no files",
	})
}
