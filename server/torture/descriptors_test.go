package torture

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
)

// TestDescriptorsRunOut: a server under load is rushed by more clients than it may
// open files, all the time. Who is connected never notices, administrators get in, and
// when some have left there is room again.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	limit := sized(500, 9000)
	cmd := servertest.Limited(command(t, servertest.PlainBinary, "", "LIMITS_CONNECTIONS=0"), fmt.Sprint("ulimit -n ", limit))
	d := launch(t, cmd)
	p := d.newProbe()
	var mu sync.Mutex
	var in []*stream
	rush := func(n int) error {
		return inTurns(50, n, func(int) error {
			s, err := subscribe(d.front, "stream", "crowd", 1)
			if err != nil {
				return refusedAtOpen(err)
			}
			if s.told {
				s.nc.Close()
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			in = append(in, s)
			return nil
		})
	}
	defer func() {
		for _, s := range in {
			s.nc.Close()
		}
	}()
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := rush(3 * limit)
		ended.Store(true)
		over <- err
	}()
	took, err := p.run(func(n int) bool { return n > 10 && ended.Load() })
	if err := <-over; err != nil {
		t.Errorf("the rush: %v", err)
	}
	if err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	t.Logf("%d subscribers fit below %d descriptors; p99 of a healthy channel %v", len(in), limit, p99(took))
	if len(in) < limit*8/10 || d.descriptors() > limit-16 {
		t.Errorf("%d subscribers, %d descriptors, limit %d", len(in), d.descriptors(), limit)
	}
	if status, body, err := servertest.Get("http://" + d.admin + "/info"); err != nil || status != 200 {
		t.Errorf("an administrator gets %d %s, %v", status, body, err)
	}
	d.push("crowd", "to all")
	for _, s := range in {
		if err := s.want(1, "to all"); err != nil {
			t.Fatalf("one of the crowd: %v", err)
		}
	}
	for _, s := range in[:limit/4] {
		s.nc.Close()
	}
	in = in[limit/4:]
	d.waitSubscribers(len(in) + 1)
	before := len(in)
	if err := rush(limit / 4); err != nil || len(in) != before+limit/4 {
		t.Errorf("%d of %d newcomers got in, %v", len(in)-before, limit/4, err)
	}
}

// refusedAtOpen is nil for what a newcomer over the cap may get besides a 429 in band: the end.
func refusedAtOpen(err error) error {
	if _, broken := err.(*net.OpError); broken || err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
