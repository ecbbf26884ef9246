package tally

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench":     "a leaf: counts mean the same whoever counts",
		"golang.org/x/sys": "no system calls: it is used for every message",
		"os":               "no system calls",
	})
}
