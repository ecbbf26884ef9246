package channel

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std", // the push server without a network builds and runs anywhere
	)
	imports.Forbid(t, imports.Rules{
		"net/...":           "messages go out through a Sink; channels know no connections",
		"encoding/json":     "content is opaque; the server encodes it",
		"log/...":           "the caller reports errors",
		"golang.org/x/...":  "the standard library is enough, in tests too",
		"github.com/...":    "the standard library is enough, in tests too",
		"icomet/server/...": "the server imports channel",
	})
}
