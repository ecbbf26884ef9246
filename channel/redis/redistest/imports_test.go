package redistest

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                   // the tests of several packages import this one, so it imports none of the module's
		"golang.org/x/sys/unix", // sockets that keep a port for one test
	)
}
