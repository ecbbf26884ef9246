package client

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std": "programs that import this package get no other dependency, and nothing of the server",
	})
}
