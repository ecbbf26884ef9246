package imports

import "testing"

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		rule, path string
		want       bool
	}{
		{"icomet/server", "icomet/server", true},
		{"icomet/server", "icomet/server/wire", false},
		{"icomet/server/...", "icomet/server", true},
		{"icomet/server/...", "icomet/server/wire", true},
		{"icomet/server/...", "icomet/serverless", false},
	} {
		if got := matches(tc.rule, tc.path); got != tc.want {
			t.Errorf("%s matches %s: got %v", tc.rule, tc.path, got)
		}
	}
	for path, want := range map[string]bool{"net/http": true, "icomet/channel": false, "golang.org/x/sys/unix": false} {
		if got := standard(path); got != want {
			t.Errorf("%s is standard: got %v", path, got)
		}
	}
}
