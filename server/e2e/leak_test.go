package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// leakVariable makes TestLeakOnPurpose leak, and TestMain impatient.
const leakVariable = "ICOMET_TEST_LEAK"

var leaked struct {
	file *os.File
	gate chan struct{}
}

// TestLeakOnPurpose is run by TestLeaksAreFound in a process of its own.
func TestLeakOnPurpose(t *testing.T) {
	kind := os.Getenv(leakVariable)
	s := startServer(t, nil)
	s.call("/info")
	switch kind {
	case "goroutine":
		leaked.gate = make(chan struct{})
		go func() { <-leaked.gate }()
	case "descriptor":
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		leaked.file = f
	}
}

// TestLeaksAreFound runs the test binary with a leak of each kind: TestMain must
// fail it, and pass it without one.
func TestLeaksAreFound(t *testing.T) {
	for _, kind := range []string{"none", "goroutine", "descriptor"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLeakOnPurpose$")
		cmd.Env = append(os.Environ(), leakVariable+"="+kind)
		out, err := cmd.CombinedOutput()
		if kind == "none" {
			if err != nil {
				t.Errorf("without a leak: %v\n%s", err, out)
			}
			continue
		}
		if err == nil || !strings.Contains(string(out), "leak: 1 "+kind+"s more") {
			t.Errorf("a leaked %s: %v\n%s", kind, err, out)
		}
	}
}
