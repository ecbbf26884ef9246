package tlsclient

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) { imports.Only(t, "std") }
