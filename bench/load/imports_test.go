package load

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/target": "the engine gets addresses and does not care who started the servers",
		"icomet/bench/report": "a worker returns a Sheet; what it means is found out above",
		"net/http":            "a goroutine per connection would cost more than the server",
	})
}
