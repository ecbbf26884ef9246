package httpparse

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The package is pure: only these, in code; the standard library, in tests.
func TestImports(t *testing.T) {
	pure := map[string]bool{"bytes": true, "encoding/binary": true, "errors": true, "math": true, "math/bits": true, "unicode/utf16": true, "unicode/utf8": true}
	files, _ := filepath.Glob("*.go")
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			first, _, _ := strings.Cut(path, "/")
			standard := !strings.Contains(first, ".") && first != "icomet"
			if !standard || !strings.HasSuffix(name, "_test.go") && !pure[path] {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
