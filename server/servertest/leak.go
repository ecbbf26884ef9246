package servertest

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// MainWithoutLeaks runs the tests of a package, and fails the run when they have left
// goroutines or descriptors behind. It waits for patience until they are gone.
func MainWithoutLeaks(m *testing.M, patience time.Duration) {
	goroutines, descriptors := CountGoroutines(), CountDescriptors()
	trust()
	code := m.Run()
	removeFiles()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // the fuzzer leaves some of its own
	}
	http.DefaultClient.CloseIdleConnections()
	err := Poll(patience, func() error {
		if n := CountDescriptors(); n > descriptors {
			return fmt.Errorf("%d descriptors more than at the start", n-descriptors)
		}
		if n := CountGoroutines(); n > goroutines {
			return fmt.Errorf("%d goroutines more than at the start", n-goroutines)
		}
		return nil
	})
	if err != nil && code == 0 {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "leak: %v\n%s\n", err, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// CountGoroutines leaves out those of gnet's worker pool, which come and go.
func CountGoroutines() (n int) {
	buf := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if !strings.Contains(stack, "/ants/v2.") {
			n++
		}
	}
	return n
}

// CountDescriptors is how many the process has open, 0 where /proc is not there.
func CountDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
