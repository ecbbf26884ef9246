package client

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                        // programs that import this package get nothing of the server
		"github.com/coder/websocket", // the WebSocket transport; it has no dependencies of its own
	)
}
