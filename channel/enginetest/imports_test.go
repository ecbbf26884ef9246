package enginetest

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",            // the tests of channel import this package, and need nothing else
		"icomet/channel", // the Engine to test, and the Hub behind it; no other engine, so that the suite suits all
	)
}
