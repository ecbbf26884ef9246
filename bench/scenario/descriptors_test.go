//go:build linux

package scenario

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTooManyForOneProcess: a run that cannot have its descriptors says so
// before it begins, and -procs is the way out.
func TestTooManyForOneProcess(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 1024, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	if _, err := Preset("fanout", Options{Subscribers: 1000}); err == nil || !strings.Contains(err.Error(), "-procs") {
		t.Errorf("1,000 connections with 1,024 descriptors, some of them in use: %v", err)
	}
	if _, err := Preset("fanout", Options{Subscribers: 1000, Procs: 2}); err != nil {
		t.Errorf("1,000 connections in two processes: %v", err)
	}
}
