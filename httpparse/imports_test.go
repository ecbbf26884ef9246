package httpparse

import (
	"testing"

	"icomet/internal/imports"
)

// TestImports: the parser is pure. It does no I/O, has no clock and no lock.
func TestImports(t *testing.T) {
	imports.Only(t, "bytes", "encoding/binary", "errors", "math", "math/bits", "unicode/utf16", "unicode/utf8")
}
