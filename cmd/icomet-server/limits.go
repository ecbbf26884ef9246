package main

import (
	"log/slog"
	"runtime/debug"

	"icomet/server/config"

	"golang.org/x/sys/unix"
)

// raiseDescriptorLimit raises the soft limit of open files to the hard one and returns
// the resulting limit.
func raiseDescriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if limit.Cur < limit.Max && unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		return raised.Cur
	}
	return limit.Cur
}

// warnOfDescriptors warns if the configured connections do not fit below the limit. The
// server needs some descriptors for itself.
func warnOfDescriptors(log *slog.Logger, limit uint64, connections int) {
	reserve := max(32, limit/50)
	fit := uint64(0)
	if limit > reserve {
		fit = limit - reserve
	}
	if limit > 0 && uint64(connections) > fit {
		log.Warn("the file descriptor limit is low for limits.connections; raise it (ulimit -n, LimitNOFILE)",
			slog.Int("connections", connections), slog.Uint64("limit", limit), slog.Uint64("fit", fit))
	}
}

// memoryLimit sets runtime.memory_limit and remembers the limit before it.
type memoryLimit struct {
	initial int64 // bytes: GOMEMLIMIT, or none
}

func newMemoryLimit() memoryLimit {
	return memoryLimit{initial: debug.SetMemoryLimit(-1)}
}

func (m memoryLimit) set(limit config.Size) {
	if limit == 0 {
		debug.SetMemoryLimit(m.initial)
		return
	}
	debug.SetMemoryLimit(int64(limit))
}
