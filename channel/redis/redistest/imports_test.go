package redistest

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std": "the tests of several packages import this one, so it imports none of the module's",
	})
}
