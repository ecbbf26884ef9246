// Package imports checks what the packages of the harness import.
package imports

import (
	"testing"

	"icomet/internal/imports"
)

// outside is forbidden to every package of the harness.
var outside = imports.Rules{
	"icomet/server/...":    "the harness measures the server from outside, over real sockets",
	"icomet/channel/...":   "it is part of what is measured",
	"icomet/httpparse/...": "a fault of the server's parser must not hide in the harness",
	"icomet/client/...":    "a fault of the client must not hide one of the server",
}

// Forbid fails the test when a file of the package under test imports a path of
// forbidden or a package below it, or a part of the product. The value is the reason.
func Forbid(t *testing.T, forbidden map[string]string) {
	t.Helper()
	trees := make(imports.Rules)
	for path, reason := range forbidden {
		trees[path+"/..."] = reason
	}
	imports.Forbid(t, outside, trees)
}
