package httpparse

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"bytes",           // pure: no I/O, no clock, no lock
		"encoding/binary", // pure: no I/O, no clock, no lock
		"errors",          // pure: no I/O, no clock, no lock
		"math",            // pure: no I/O, no clock, no lock
		"math/bits",       // pure: no I/O, no clock, no lock
		"unicode/utf16",   // pure: no I/O, no clock, no lock
		"unicode/utf8",    // pure: no I/O, no clock, no lock
	)
	imports.Forbid(t, imports.Rules{
		"icomet/...":       "everything of ours is above the parser",
		"github.com/...":   "the oracles of the tests are in the standard library",
		"golang.org/x/...": "the oracles of the tests are in the standard library",
	})
}
