package redissim

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                              // as everywhere
		"github.com/yuin/gopher-lua",       // runs the scripts
		"github.com/yuin/gopher-lua/parse", // compiles them
	)
}
