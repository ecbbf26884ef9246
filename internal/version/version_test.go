package version

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestRelease(t *testing.T) {
	if !regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`).MatchString(Release) {
		t.Errorf("%q is no semantic version", Release)
	}
}

func TestLine(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	commit := []debug.BuildSetting{setting("vcs.revision", "abc123"), setting("vcs.time", "2026-01-02T03:04:05Z")}
	gnet := &debug.Module{Path: "github.com/panjf2000/gnet/v2", Version: "v2.9.7"}
	fork := &debug.Module{Path: gnet.Path, Version: "v2.9.7", Replace: &debug.Module{Version: "v2.9.8"}}
	for _, c := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{GoVersion: "go1.26.8"}, "x " + Release + " (go1.26.8)"},
		{debug.BuildInfo{GoVersion: "go1.26.8", Settings: []debug.BuildSetting{setting("vcs.modified", "true")}}, "x " + Release + " (go1.26.8)"},
		{debug.BuildInfo{GoVersion: "go1.26.8", Settings: commit, Deps: []*debug.Module{{Path: "a", Version: "v1"}, gnet}},
			"x " + Release + " (commit abc123, 2026-01-02T03:04:05Z, go1.26.8, gnet v2.9.7)"},
		{debug.BuildInfo{GoVersion: "go1.26.8", Settings: append(commit, setting("vcs.modified", "true")), Deps: []*debug.Module{fork}},
			"x " + Release + " (commit abc123-dirty, 2026-01-02T03:04:05Z, go1.26.8, gnet v2.9.8)"},
	} {
		if got := line("x", read(&c.info)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestOfThisBuild(t *testing.T) {
	if b := Of(); b.Go != runtime.Version() || b.Commit == "" || b.Date == "" {
		t.Errorf("got %+v", b)
	}
}
