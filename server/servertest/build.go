package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
)

// Main runs the tests of a package, then what is given, and removes the servers and
// certificates that were made for them.
func Main(m *testing.M, then ...func()) {
	trust()
	status := m.Run()
	for _, f := range then {
		f()
	}
	removeFiles()
	os.Exit(status)
}

func removeFiles() {
	if dir, err := buildDir(); err == nil {
		os.RemoveAll(dir)
	}
}

var (
	buildDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "icomet-servertest-") })

	plain = sync.OnceValues(func() (string, error) { return buildServer("icomet-server") })
	racy  = sync.OnceValues(func() (string, error) { return buildServer("icomet-server-race", "-race") })
)

// PlainBinary is the built server, for tests that measure.
func PlainBinary() (path string, err error) { return plain() }

// Binary is the built server, with the race detector when the test has it.
func Binary() (path string, err error) {
	if RaceEnabled() {
		return racy()
	}
	return plain()
}

func buildServer(name string, flags ...string) (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	return build(filepath.Join(dir, name), "icomet/cmd/icomet-server", flags...)
}

// Build builds a command into path, with the race detector when the test has it.
func Build(path, pkg string) (string, error) {
	if RaceEnabled() {
		return build(path, pkg, "-race")
	}
	return build(path, pkg)
}

func build(path, pkg string, flags ...string) (string, error) {
	args := append(append([]string{"build", "-o", path}, flags...), pkg)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// RaceEnabled says whether the test runs with the race detector.
func RaceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
