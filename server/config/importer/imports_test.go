package importer

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std",
		"icomet/server/config", // what this server takes, and its errors
	)
	imports.Forbid(t, imports.Rules{
		"net":      "it asks no network",
		"net/http": "it asks no network",
	})
}
