package reactor

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestSteadySlowReader reads one large message for much longer than polling_timeout, at a
// steady pace. It gets it, with no heartbeat behind it until it is silent.
func TestSteadySlowReader(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"stream", "sse"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t, 1, func(set *Settings) {
				set.PollingTimeout, set.SendBuffer = time.Second, 64<<10
			})
			c, err := servertest.DialNarrow(s.front, 16<<10)
			f, err2 := servertest.SubscribeOn(c, kind, "a", 1)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s.waitSubscribers("a", 1)
			s.publish("a", strings.Repeat("y", 1<<20))
			slow := &paced{Reader: f.R, each: 25 << 10, pause: 100 * time.Millisecond}
			var got strings.Builder
			buf := make([]byte, 25<<10)
			for begun := time.Now(); !strings.Contains(got.String(), `yyy"}`); {
				n, err := slow.Read(buf)
				if got.Write(buf[:n]); err != nil {
					t.Fatalf("after %d bytes and %v: %v", got.Len(), time.Since(begun), err)
				}
			}
			ended := time.Now()
			if strings.Contains(got.String(), "noop") {
				t.Error("a heartbeat was queued behind the message")
			}
			for !strings.Contains(got.String(), "noop") {
				n, err := f.R.Read(buf)
				if got.Write(buf[:n]); err != nil {
					t.Fatal(err)
				}
			}
			// A test that is late has its heartbeat soon.
			if took := time.Since(ended); servertest.Punctual && took < 500*time.Millisecond || took > time.Second+servertest.Lateness {
				t.Errorf("the heartbeat came %v after the message", took)
			}
		})
	}
}

// paced reads at a steady pace.
type paced struct {
	io.Reader
	each  int
	pause time.Duration
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b[:min(len(b), p.each)])
	time.Sleep(p.pause * time.Duration(n) / time.Duration(p.each)) // the pace, not a wait
	return n, err
}
