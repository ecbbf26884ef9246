package access

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/httpparse", "icomet/server/config", "golang.org/x/sys/unix",
		"github.com/golang-jwt/jwt/v5", "github.com/pires/go-proxyproto")
}
