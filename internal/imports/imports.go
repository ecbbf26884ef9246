// Package imports holds packages to what they may import. Only tests use it.
package imports

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Rules are import paths with the reason why they are forbidden. A path that ends in
// "/..." stands for that package and all below it.
type Rules map[string]string

// Forbid fails the test when a source file in the test's folder, or one of its tests,
// imports what one of the rules forbids. The failure shows the reason. Tests in a package of
// their own (package NAME_test) are users of the package, and may import what other users do.
func Forbid(t *testing.T, rules ...Rules) {
	t.Helper()
	each(t, true, func(file, path string) {
		for _, r := range rules {
			for forbidden, reason := range r {
				if matches(forbidden, path) {
					t.Errorf("%s imports %s: %s", file, path, reason)
				}
			}
		}
	})
}

// Only fails the test when a source file in the test's folder, tests excepted, imports a
// package that is not allowed. "std" allows the standard library.
func Only(t *testing.T, allowed ...string) {
	t.Helper()
	each(t, false, func(file, path string) {
		for _, a := range allowed {
			if matches(a, path) || a == "std" && standard(path) {
				return
			}
		}
		t.Errorf("%s imports %s, which is not among %q", file, path, allowed)
	})
}

func each(t *testing.T, tests bool, visit func(file, path string)) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 2 { // a source file, and the test that calls this
		t.Fatalf("files of the package: %v, %v", names, err)
	}
	for _, name := range names {
		if !tests && strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name.Name, "_test") {
			continue
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(path, "/internal/imports") { // this check itself
				visit(name, path)
			}
		}
	}
}

func matches(rule, path string) bool {
	if tree, ok := strings.CutSuffix(rule, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == rule
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && first != "icomet"
}
