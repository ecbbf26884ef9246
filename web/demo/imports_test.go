package main

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                        // as everywhere
		"icomet/internal/selfsigned", // its certificate
		"icomet/client",              // the only way to a server: an application has nothing else
		"golang.org/x/time/rate",     // how fast a session may publish
	)
}
