package main

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":                    "as everywhere",
		"icomet/client":          "the only way to a server: an application has nothing else",
		"golang.org/x/time/rate": "how fast a session may publish",
	})
}
