package e2e

import (
	"fmt"
	"testing"

	"icomet/internal/version"
)

// TestInfoAboutTheBuild: only who asks is told; the transcripts have what the others get.
func TestInfoAboutTheBuild(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	b := version.Of()
	totals := fmt.Sprintf(`{"version": "%s", "channels": 1, "subscribers": 0`, version.Release)
	build := fmt.Sprintf(`%s, "commit": "%s", "date": "%s", "go": "%s", "gnet": "%s"}`, totals, b.Commit, b.Date, b.Go, b.Gnet)
	for target, want := range map[string]string{
		"/info?build=1":         build + "\n",
		"/info?build=1&cb=f":    "f(" + build + ");\n",
		"/info":                 totals + "}\n",
		"/info?build=0":         totals + "}\n",
		"/info?build=1&cname=a": `{"cname": "a", "subscribers": 0}` + "\n",
		"/info?build=":          totals + "}\n",
	} {
		if got := s.call(target); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
	dial(t, s.admin).get("/info?build=x").wantError(400, "build", false)
}

// buildInfo is the line of /metrics about the build.
func buildInfo() string {
	b := version.Of()
	return fmt.Sprintf("\nicomet_build_info{date=%q,gnet=%q,goversion=%q,revision=%q,version=%q} 1\n", b.Date, b.Gnet, b.Go, b.Commit, version.Release)
}
