package channel

import (
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestImports: the package, its suite and its tests need the standard library only,
// so that the product without a network builds and runs anywhere.
func TestImports(t *testing.T) {
	files := 0
	for _, pattern := range []string{"*.go", "enginetest/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			files++
			f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); !allowed(path) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
	if files < 12 {
		t.Errorf("only %d files were looked at", files)
	}
}

// allowed: a path of the standard library has no dot in its first element, which is
// not this module's.
func allowed(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	ours := path == "icomet/channel" || path == "icomet/channel/enginetest"
	return ours || first != "icomet" && !strings.Contains(first, ".")
}
