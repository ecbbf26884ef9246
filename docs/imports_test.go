package docs

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std") // it holds files and nothing else
}
