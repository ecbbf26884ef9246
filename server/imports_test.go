package server

import (
	"testing"

	"icomet/internal/imports"
)

func TestImports(t *testing.T) {
	imports.Forbid(t, imports.Rules{
		"github.com/panjf2000/gnet/v2/...":        "the reactor alone knows gnet",
		"github.com/valyala/bytebufferpool":       "buffers belong to the event loops",
		"golang.org/x/sys/unix":                   "sockets are the reactor's",
		"github.com/prometheus/client_golang/...": "what operators see is the monitor's",
		"icomet/channel/redis/...":                "cmd/icomet-server chooses the engine",
	})
}
