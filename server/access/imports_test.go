package access

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/httpparse", "icomet/server/config", "icomet/server/wire", "golang.org/x/sys/unix",
		"github.com/golang-jwt/jwt/v5", "github.com/pires/go-proxyproto")
}
