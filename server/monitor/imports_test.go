package monitor

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, imports.Rules{
		"icomet/server":                    "the table of paths calls the monitor",
		"icomet/server/access":             "who may ask is decided before",
		"github.com/panjf2000/gnet/v2/...": "the reactor alone knows gnet",
	})
}
