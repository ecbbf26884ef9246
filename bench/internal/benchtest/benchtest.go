//go:build linux

// Package benchtest is what the tests of several packages of the harness need: the
// project's server, and a test binary that can be a worker process.
package benchtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"icomet/bench/load"
)

// Main is a package's TestMain. It lets the test binary be a worker process, as
// icomet-bench is, and removes the server at the end.
func Main(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == load.WorkerCommand {
		if err := load.RunWorker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

var dir string // of the server; written once, by build

// Server is the project's server, built once for each test binary.
func Server(t *testing.T) (binary string) {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var build = sync.OnceValues(func() (string, error) {
	var err error
	if dir, err = os.MkdirTemp("", "icomet-bench-test-"); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "icomet-server")
	out, err := exec.Command("go", "build", "-o", binary, "icomet/cmd/icomet-server").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})
