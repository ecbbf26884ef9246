package main

import (
	"testing"

	"icomet/internal/importtest"
)

func TestImports(t *testing.T) {
	importtest.Check(t, map[string]string{
		"std":                   "as everywhere",
		"icomet/server/...":     "the server to run",
		"icomet/channel":        "the Engine that is chosen by the configuration",
		"icomet/channel/redis":  "the one engine that the server does not make itself",
		"golang.org/x/sys/unix": "pidfile locks, process descriptors, limits",
	})
	importtest.Forbid(t, map[string]string{
		"github.com/panjf2000/gnet/...": "connections belong to package server",
		"icomet/httpparse":              "so do requests",
	})
}
