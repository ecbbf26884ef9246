package main

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                       // as everywhere
		"icomet/client",             // the only way to a server
		"icomet/internal/tlsclient", // its TLS
		"icomet/internal/version",   // of the release
		"github.com/spf13/cobra",    // commands, flags and completion
		"github.com/spf13/pflag",    // cobra's flags: what is wrong with one
		"golang.org/x/term",         // the size of the terminal
	)
}
