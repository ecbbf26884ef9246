package main

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":                    "as everywhere",
		"icomet/client":          "the only way to a server",
		"icomet/server":          "only for its Version",
		"github.com/spf13/cobra": "commands, flags and completion",
		"golang.org/x/term":      "the size of the terminal",
	})
}
