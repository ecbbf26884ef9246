package protocol

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench":     "a leaf: bytes are made and read without knowing connection, run or server",
		"golang.org/x/sys": "no system calls: everything can be tested with byte slices",
		"os":               "no system calls",
	})
}
