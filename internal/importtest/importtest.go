// Package importtest checks what a package imports. The imports_test.go of each
// package says what it may import, or must not, and why.
//
// A path in a rule is exact, ends in "/..." (the path and everything below it), or is
// "std" (the standard library). All build tags are looked at.
package importtest

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Check fails t for each import that no key of allowed names, in the files of the
// tested package that are not tests. The values are the reasons.
func Check(t *testing.T, allowed map[string]string) {
	t.Helper()
	check(t, false, allowed)
}

// CheckTests is Check for the package's test files.
func CheckTests(t *testing.T, allowed map[string]string) {
	t.Helper()
	check(t, true, allowed)
}

func check(t *testing.T, tests bool, allowed map[string]string) {
	t.Helper()
	each(t, tests, func(file, path string) {
		if find(allowed, path) == "" {
			t.Errorf("%s imports %s, which imports_test.go does not allow", file, path)
		}
	})
}

// Forbid fails t for each import that a key of forbidden names, in the files of the
// tested package that are not tests. The values are the reasons, and are reported.
func Forbid(t *testing.T, forbidden map[string]string) {
	t.Helper()
	each(t, false, func(file, path string) {
		if rule := find(forbidden, path); rule != "" {
			t.Errorf("%s imports %s: %s", file, path, forbidden[rule])
		}
	})
}

// each calls visit with every import of the package in the working directory, which is
// the tested package's while its tests run.
func each(t *testing.T, tests bool, visit func(file, path string)) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		looked++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			visit(name, path)
		}
	}
	if looked == 0 {
		t.Fatal("the working directory has no such Go files")
	}
}

// find returns the key that names path, or "".
func find(rules map[string]string, path string) string {
	for rule := range rules {
		if matches(rule, path) {
			return rule
		}
	}
	return ""
}

// matches: a path of the standard library has no dot in its first element, which is
// not this module's name.
func matches(rule, path string) bool {
	if rule == "std" {
		first, _, _ := strings.Cut(path, "/")
		return first != "icomet" && !strings.Contains(first, ".")
	}
	if tree, ok := strings.CutSuffix(rule, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == rule
}
