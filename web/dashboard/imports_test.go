package dashboard

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"embed", // the package only has files
		"io/fs", // to list them
	)
}
