package tlsrecord

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "golang.org/x/crypto/chacha20poly1305")
}
