package main

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Only(t,
		"std",                           // as everywhere
		"icomet/internal/health",        // the command that asks it
		"icomet/internal/systemd",       // what the service manager is told
		"icomet/internal/version",       // of the release
		"icomet/server",                 // the server to run
		"icomet/server/config",          // what is configured
		"icomet/server/config/importer", // the configuration of an original server
		"icomet/channel",                // the Engine that the configuration selects
		"icomet/channel/redis",          // the one engine that the server does not make itself
		"golang.org/x/sys/unix",         // pidfile locks, process descriptors, limits
	)
	imports.Forbid(t, imports.Rules{
		"github.com/panjf2000/gnet/...": "connections belong to the reactor",
		"icomet/httpparse":              "requests belong to the reactor",
	})
}
