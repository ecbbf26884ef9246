package client

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std", // programs that import this package get no other dependency, and nothing of the server
	)
}
