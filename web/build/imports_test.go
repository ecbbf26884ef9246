package main

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                              // as everywhere
		"github.com/evanw/esbuild/pkg/api", // the bundler
	)
}
