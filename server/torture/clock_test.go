package torture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallClock are the methods of time.Time that leave the monotonic clock behind: a
// timeout made of what they give fires when somebody sets the clock.
var wallClock = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Local"}

// mayReadWall are the files that have to do with the date: a token's exp and nbf, and
// what is told to operators, which is also when a certificate ends.
var mayReadWall = []string{"../access/jwt.go", "../monitor/metrics.go", "../monitor/feed.go", "../monitor/tls.go", "../secure/material.go"}

// TestClockSteps: no timeout of the server can come from the wall clock. What it
// looks at is the source, since setting the clock would set it for everybody on the
// machine; clock-steps ("make torture") does set it, in a virtual machine.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	files := 0
	for _, dir := range []string{"..", "../access", "../config", "../monitor", "../reactor", "../secure", "../wire", "../../channel", "../../tlsrecord"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || slices.Contains(mayReadWall, name) {
				continue
			}
			files++
			checkClock(t, name)
		}
	}
	if files < 70 {
		t.Errorf("only %d files were looked at", files)
	}
}

func checkClock(t *testing.T, name string) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(wallClock, s.Sel.Name) {
			t.Errorf("%s: %s gives up the monotonic clock", set.Position(call.Pos()), s.Sel.Name)
		}
		return true
	})
}
