//go:build linux

// Package benchtest is what the tests of several packages of the harness need: the
// project's server, and a test binary that can be a worker process.
package benchtest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"icomet/bench/load"
)

// atOnce is how many parallel tests run at a time: most of a test is waiting.
const atOnce = "8"

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
	// Else each worker under the race detector sleeps for a second before it exits.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=10")
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(atOnce); err != nil {
			panic(err)
		}
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

// RedisServer is the command line of Server with limits for Redis that are wide enough for a
// machine that does much else: with its own of 800 ms the server gives up at its start.
func RedisServer(t *testing.T) (command string) {
	t.Helper()
	return "env ICOMET_ENGINE_REDIS_TIMEOUT=20s ICOMET_ENGINE_REDIS_DIAL_TIMEOUT=10s " + Server(t)
}
