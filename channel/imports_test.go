package channel

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std": "the push server without a network builds and runs anywhere",
	})
	importtest.Forbid(t, map[string]string{
		"net/...":       "messages go out through a Sink; no socket is known here",
		"encoding/json": "content is opaque; the server encodes it",
		"log/...":       "the caller reports errors",
		"os/...":        "no file, no environment, no signal: limits come in as Limits",
	})
	importtest.CheckTests(t, map[string]string{
		"std":                        "as above",
		"icomet/channel":             "the external tests of this package",
		"icomet/channel/enginetest":  "the suite that Memory has to pass",
		"icomet/internal/importtest": "this test",
	})
}
