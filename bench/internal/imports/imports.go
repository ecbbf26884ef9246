// Package imports checks what the packages of the harness import.
package imports

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// outside is forbidden to every package of the harness.
var outside = map[string]string{
	"icomet/server":    "the harness measures the server from outside, over real sockets",
	"icomet/channel":   "it is part of what is measured",
	"icomet/httpparse": "a fault of the server's parser must not hide in the harness",
	"icomet/client":    "a fault of the client must not hide one of the server",
}

// Forbid fails the test when a file of the package under test, or one of its tests,
// imports a path of forbidden or a package below it, or a part of the product. The value
// is the reason, which the failure shows.
func Forbid(t *testing.T, forbidden map[string]string) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 2 { // a source file, and the test that calls this
		t.Fatalf("files of the package: %v, %v", names, err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, rules := range []map[string]string{outside, forbidden} {
				check(t, name, path, rules)
			}
		}
	}
}

func check(t *testing.T, file, path string, rules map[string]string) {
	t.Helper()
	if path == "icomet/bench/internal/imports" {
		return
	}
	for forbidden, reason := range rules {
		if path == forbidden || strings.HasPrefix(path, forbidden+"/") {
			t.Errorf("%s imports %s: %s", file, path, reason)
		}
	}
}
