package e2e

import (
	"fmt"

	"icomet/internal/version"
)

// totals is the answer of /info.
func totals(channels, subscribers int) string {
	b := version.Of()
	return fmt.Sprintf(`{"version": "%s", "channels": %d, "subscribers": %d, "commit": "%s", "date": "%s", "go": "%s", "gnet": "%s"}`+"\n",
		version.Release, channels, subscribers, b.Commit, b.Date, b.Go, b.Gnet)
}

// buildInfo is the line of /metrics about the build.
func buildInfo() string {
	b := version.Of()
	return fmt.Sprintf("\nicomet_build_info{date=%q,gnet=%q,goversion=%q,revision=%q,version=%q} 1\n", b.Date, b.Gnet, b.Go, b.Commit, version.Release)
}
