package reactor

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t, "std", "icomet/channel", "icomet/httpparse", "icomet/httpparse/wsframe", "icomet/server/access", "icomet/server/deflate", "icomet/server/params", "icomet/server/secure", "icomet/tlsrecord", "icomet/server/wire",
		"github.com/panjf2000/gnet/v2/...", "github.com/valyala/bytebufferpool", "golang.org/x/sys/unix")
	imports.Forbid(t, imports.Rules{
		"icomet/server":         "the endpoints are behind Handler",
		"icomet/server/monitor": "it reads our counters, not the other way round",
		"icomet/server/config":  "Settings is all that the reactor needs of the configuration",
	})
}
