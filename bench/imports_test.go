package bench

import (
	"testing"

	"icomet/bench/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, map[string]string{
		"icomet/bench/redis":   "a measurement is made of runs, not the other way round",
		"icomet/bench/cluster": "a measurement is made of runs, not the other way round",
		"golang.org/x/sys":     "sockets belong to load, /proc to procstat",
		"os/exec":              "workers are started by load, servers by target",
	})
}
