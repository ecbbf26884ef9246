package wire

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/channel", "icomet/httpparse", "icomet/httpparse/wsframe", "icomet/internal/version", "icomet/server/deflate")
	imports.Forbid(t, imports.Rules{
		"net":  "it makes bytes; who sends them is the reactor's business",
		"os":   "pure functions have no files",
		"sync": "pure functions share nothing",
		"time": "the forms have no clock",
	})
}
