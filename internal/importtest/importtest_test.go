package importtest

import "testing"

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		rule, path string
		want       bool
	}{
		{"std", "net/http", true},
		{"std", "C", true},
		{"std", "icomet/channel", false},
		{"std", "icomet", false},
		{"std", "github.com/a/b", false},
		{"net", "net", true},
		{"net", "net/http", false},
		{"net/...", "net", true},
		{"net/...", "net/http", true},
		{"net/...", "network", false},
	} {
		if matches(tc.rule, tc.path) != tc.want {
			t.Errorf("%q for %q: want %v", tc.rule, tc.path, tc.want)
		}
	}
}

func TestOwnImports(t *testing.T) {
	rules := map[string]string{"std": "every package's tests import it, so it imports none of them"}
	Check(t, rules)
	CheckTests(t, rules)
	seen := map[string]bool{}
	each(t, false, func(_, path string) { seen[path] = true })
	if !seen["go/parser"] || seen["reflect"] {
		t.Errorf("imports found: %v", seen)
	}
}
