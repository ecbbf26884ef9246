package main

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":                              "as everywhere",
		"github.com/evanw/esbuild/pkg/api": "the bundler",
	})
}
