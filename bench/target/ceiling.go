//go:build linux

package target

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"icomet/bench/protocol"
)

//go:embed ceiling.c wire.h
var ceilingSource embed.FS

// startCeiling builds the ceiling and starts it.
func startCeiling(ctx context.Context, env []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "icomet-ceiling-")
	if err != nil {
		return nil, err
	}
	source, binary := filepath.Join(dir, "ceiling.c"), filepath.Join(dir, "ceiling")
	if err = os.CopyFS(dir, ceilingSource); err == nil {
		var out []byte
		if out, err = exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", binary, source).CombinedOutput(); err != nil {
			err = fmt.Errorf("gcc: %w\n%s", err, out)
		}
	}
	var s *Server
	if err == nil {
		s, err = launch(ctx, []string{binary}, env, protocol.DialectIcomet)
	}
	// The program that runs keeps its file.
	return s, errors.Join(err, os.RemoveAll(dir))
}
