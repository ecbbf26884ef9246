//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary be a worker process, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == WorkerCommand {
		if err := RunWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

var buildDir string

// realServer builds the project's server once.
var realServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "icomet-bench-test-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	binary := filepath.Join(dir, "icomet-server")
	out, err := exec.Command("go", "build", "-o", binary, "icomet/cmd/icomet-server").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

// mustRun runs a scenario; the test ends when it cannot be run at all.
func mustRun(t *testing.T, s Scenario, target Target) *Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := Run(ctx, s, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
