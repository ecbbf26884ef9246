package dashboard

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"embed": "the package only has files",
		"io/fs": "to list them",
	})
}
