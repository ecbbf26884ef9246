package enginetest

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":            "the tests of channel import this package, and need nothing else",
		"icomet/channel": "the Engine to test, and the Hub behind it; no other engine, so that the suite suits all",
	})
}
