// Package version says which release this is and what it was built from. Every program
// of the module shows it, so the number is set here and nowhere else (web/package.json
// has to repeat it; a test compares).
package version

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
)

// Release is the number of the release, by semantic versioning, without a "v".
const Release = "0.1.0"

// Unknown stands for what the build did not record: a build outside a git checkout has
// neither commit nor date, a test has no commit.
const Unknown = "unknown"

// dirty marks the commit of a build whose tree differed from it.
const dirty = "-dirty"

// Build is what a program was built from.
type Build struct {
	Commit string // the full hash, with "-dirty" if the tree had changes, or Unknown
	Date   string // of the commit, in RFC 3339, UTC, or Unknown
	Go     string // as go1.26.0
	Gnet   string // as v2.9.7; Unknown in a program that does not use gnet
}

// Of returns what this program was built from.
var Of = sync.OnceValue(func() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return read(info)
})

func read(info *debug.BuildInfo) Build {
	b := Build{Commit: Unknown, Date: Unknown, Go: info.GoVersion, Gnet: Unknown}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if changed && b.Commit != Unknown {
		b.Commit += dirty
	}
	for _, m := range info.Deps {
		if m.Path != "github.com/panjf2000/gnet/v2" {
			continue
		}
		b.Gnet = m.Version
		if m.Replace != nil {
			b.Gnet = m.Replace.Version
		}
	}
	return b
}

// Line is what "PROGRAM -version" prints, without a newline: the program, the release,
// and what is known of the build.
func Line(program string) string { return line(program, Of()) }

func line(program string, b Build) string {
	var parts []string
	if b.Commit != Unknown {
		parts = append(parts, "commit "+b.Commit, b.Date)
	}
	parts = append(parts, b.Go)
	if b.Gnet != Unknown {
		parts = append(parts, "gnet "+b.Gnet)
	}
	return fmt.Sprintf("%s %s (%s)", program, Release, strings.Join(parts, ", "))
}
