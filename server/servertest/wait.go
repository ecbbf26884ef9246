package servertest

import (
	"bytes"
	"os"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for something that has to happen. It is
// generous, for machines that are busy with other tests.
const Patience = 60 * time.Second

// Punctual says that the test has the machine for itself ("make torture"), so that it may
// look at when things happen, and not only at what.
var Punctual = os.Getenv("ICOMET_TORTURE") == "full"

// Lateness is how much later than it is due something may come on a busy machine that
// runs other tests beside. Nothing may come early. What is promised is a second; make
// torture, which has the machine for itself, holds the server to that.
var Lateness = func() time.Duration {
	if Punctual {
		return 1100 * time.Millisecond
	}
	return Patience
}()

// Poll calls f until it succeeds, at most for limit, and returns its last error.
func Poll(limit time.Duration, f func() error) error {
	return PollEvery(5*time.Millisecond, limit, f)
}

// PollEvery is Poll for what goes on only while nobody looks.
func PollEvery(every, limit time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// CheckFor fails the test when f has not succeeded within limit.
func CheckFor(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	if err := Poll(limit, f); err != nil {
		t.Fatalf("after %v: %v", limit, err)
	}
}

// Output is written by what is tested and read by the test meanwhile.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
