package config

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "github.com/pelletier/go-toml/v2/...")
}
