package torture

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// probe is what somebody else notices: a healthy subscriber and its publisher.
type probe struct {
	d     *daemon
	s     *stream
	cname string
	seq   int64
}

func (d *daemon) newProbe() *probe {
	d.t.Helper()
	p := &probe{d: d, cname: "healthy"}
	var err error
	if p.s, err = subscribe(d.front, "stream", p.cname, 1); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { p.s.nc.Close() })
	return p
}

// run publishes one after the other, at most one every 5 ms, until enough says so, and
// gives the times from the request to the delivery.
func (p *probe) run(enough func(n int) bool) (took []time.Duration, err error) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for !enough(len(took)) {
		p.seq++
		content := fmt.Sprint("p", p.seq)
		begun := time.Now()
		resp, err := p.d.client.Post("http://"+p.d.admin+"/push?cname="+p.cname, "application/x-www-form-urlencoded",
			strings.NewReader("content="+content))
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			return nil, fmt.Errorf("publishing: status %d", resp.StatusCode)
		}
		if err := p.s.want(p.seq, content); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
		<-pace.C
	}
	return took, nil
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[max(0, len(took)*99/100-1)]
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// compareRounds measures the probe in turns, alone and while loud runs; loud says by
// the channel when its load is on and ends by itself. The median of the loud rounds may
// be twice that of the quiet ones, or 5 ms; in the small size, which runs beside other
// tests, 5 s: there it is only seen that everything arrives.
func (p *probe) compareRounds(t *testing.T, loud func(on chan<- struct{}) error) {
	t.Helper()
	const rounds = 5
	var quiet, noisy []time.Duration
	for range rounds {
		took, err := p.run(func(n int) bool { return n >= sized(60, 300) })
		if err != nil {
			t.Fatal(err)
		}
		quiet = append(quiet, p99(took))
		on, over := make(chan struct{}), make(chan error, 1)
		var ended atomic.Bool
		go func() {
			err := loud(on)
			ended.Store(true)
			over <- err
		}()
		<-on
		took, err = p.run(func(n int) bool { return n > 20 && ended.Load() })
		if err := <-over; err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatalf("the healthy channel: %v", err)
		}
		noisy = append(noisy, p99(took))
	}
	t.Logf("p99 quiet %v, loud %v", quiet, noisy)
	if q, n := median(quiet), median(noisy); n > max(2*q, sized(5*time.Second, 5*time.Millisecond)) {
		t.Errorf("p99 of a healthy channel: %v quiet, %v beside the load", q, n)
	}
}

// watchRSS samples the process's memory until stop is called, which gives the most.
func (d *daemon) watchRSS() (stop func() int64) {
	var most atomic.Int64
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				resident, _ := d.resident() // none when it has ended
				most.Store(max(most.Load(), resident))
			}
		}
	}()
	return func() int64 {
		close(done)
		<-over
		return max(most.Load(), d.rss())
	}
}

const mib = 1 << 20
