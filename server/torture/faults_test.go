package torture

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestKillAndRestart kills a server under load again and again. Every subscriber
// comes back, and follows the sequence that begins anew.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	c := newCrowd(sized(60, 2000))
	kept := "FRONT_CHANNEL_BUFFER_SIZE=100000"
	d := start(t, servertest.Binary, "", kept)
	c.meet(d)
	c.run(4)
	defer c.end()
	for life := range sized(3, 20) {
		// The load is on: all have got something of this life.
		checkFor(t, patience, c.allHave(fmt.Sprint(life+1)))
		_ = d.Cmd.Process.Kill()
		<-d.Ended
		d = start(t, servertest.Binary, "", kept)
		c.meet(d)
	}
	checkFor(t, patience, c.allHave(fmt.Sprint(c.home.Load().life)))
	c.hush(d)
	c.stopped.Store(true)
	d.stop(patience) // ends who still waits
	if err := c.end(); err != nil {
		t.Error(err)
	}
	returned := 0
	for _, f := range c.followers {
		returned += f.returns
	}
	t.Logf("%d messages published, %d returns of %d subscribers", c.published.Load(), returned, len(c.followers))
}

// allHave: everybody has got a message of that life.
func (c *crowd) allHave(life string) func() error {
	return func() error {
		select {
		case err := <-c.wrong:
			c.wrong <- err
			return fmt.Errorf("a subscriber: %w", err)
		default:
		}
		for i, f := range c.followers {
			f.mu.Lock()
			_, ok := f.got[life]
			f.mu.Unlock()
			if !ok {
				return fmt.Errorf("subscriber %d has nothing of life %s", i, life)
			}
		}
		return nil
	}
}

// TestTerminateUnderLoad: what was acknowledged reaches who is connected, returns are
// spread over drain_timeout, and the process ends in time with status 0.
func TestTerminateUnderLoad(t *testing.T) {
	t.Parallel()
	const drain = 2 * time.Second
	c := newCrowd(sized(200, 5000))
	c.once = true
	d := start(t, servertest.Binary, "", "FRONT_CHANNEL_BUFFER_SIZE=100000", "LIMITS_DRAIN_TIMEOUT="+drain.String())
	c.meet(d)
	var mu sync.Mutex
	var ends []time.Time
	for _, f := range c.followers {
		c.all.Go(func() {
			err := f.follow(&c.stopped, true)
			mu.Lock()
			defer mu.Unlock()
			if ends = append(ends, time.Now()); err != nil {
				c.wrong <- err
			}
		})
	}
	for p := range 4 {
		c.pushers.Go(func() { c.publish(p) })
	}
	defer c.end()
	checkFor(t, patience, c.allHave("1"))
	checkFor(t, patience, func() error {
		if n := c.published.Load(); n < 200 {
			return fmt.Errorf("%d published", n)
		}
		return nil
	})
	c.mu.Lock()
	var acked []string
	for content := range c.acked {
		acked = append(acked, content)
	}
	c.mu.Unlock()
	asked := time.Now()
	d.stop(drain + sized(patience, time.Second))
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	c.checkAcked(t, acked)
	c.checkCuts(t)
	checkSpread(t, ends, asked, drain)
}

// checkAcked: what was acknowledged before the signal, all of its channel have who were
// connected. Who polls may just be between two polls, and asks for it when it comes back.
// What came later is without a gap up to each one's end: take has seen to that.
func (c *crowd) checkAcked(t *testing.T, acked []string) {
	t.Helper()
	for _, content := range acked {
		have := make(map[string]int) // channel → followers
		for _, f := range c.followers {
			if f.has(content) {
				have[f.cname]++
			}
		}
		if len(have) != 1 {
			t.Fatalf("%s was acknowledged before the signal, and is on %d channels", content, len(have))
		}
		for _, f := range c.followers {
			if have[f.cname] > 0 && f.kind != "sub" && !f.has(content) {
				t.Fatalf("%s was acknowledged before the signal, and a %s of %s has it not", content, f.kind, f.cname)
			}
		}
	}
}

// checkCuts: streams are cut, so that their clients return; nobody sees a clean end.
func (c *crowd) checkCuts(t *testing.T) {
	t.Helper()
	for i, f := range c.followers {
		if f.kind != "sub" && f.ends[0] == io.EOF {
			t.Fatalf("subscriber %d (%s) saw the response end as if it were complete", i, f.kind)
		}
	}
}

// checkSpread: in no fifth of the time do more than half of all return.
func checkSpread(t *testing.T, ends []time.Time, from time.Time, drain time.Duration) {
	t.Helper()
	var fifths [6]int
	for _, at := range ends {
		fifths[min(5, max(0, int(5*at.Sub(from)/drain)))]++
	}
	t.Logf("returns by fifths of the time: %v", fifths)
	if !full {
		return // a busy machine decides; the reactor's TestDrainIsEvenByTicks holds the time
	}
	busy := 0
	for _, n := range fifths {
		if n > len(ends)/2 {
			t.Errorf("%d of %d returned in a fifth of drain_timeout: %v", n, len(ends), fifths)
		}
		if n > len(ends)/20 {
			busy++
		}
	}
	if busy < 3 {
		t.Errorf("the returns are not spread: %v", fifths)
	}
}

// TestReloadUnderLoad reloads a changing configuration 100 times: nobody is dropped
// and nothing is lost.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	const reloads = 100
	path := filepath.Join(t.TempDir(), "config.toml")
	write := func(i int) {
		t.Helper()
		text := fmt.Sprintf("[front]\nchannel_buffer_size = %d\npolling_timeout = %d\nchannel_timeout = %d\n"+
			"[limits]\noutbound_buffer = \"%dKiB\"\nidle_timeout = \"%ds\"\nkeepalive = \"%ds\"\nrequest_timeout = \"%ds\"\n"+
			"[logger]\nlevel = %q\n", 90000+i, 30+i%7, 30+i%3, 256+i, 60+i%9, 20+i%5, 5+i%5, []string{"info", "warn", "debug"}[i%3])
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	d := start(t, servertest.Binary, path)
	c := newCrowd(sized(100, 2000))
	c.meet(d)
	c.run(4)
	defer c.end()
	checkFor(t, patience, c.allHave("1"))
	before := d.stats().Connections.Front
	for i := range reloads {
		write(3 * (i + 1)) // level info: the log says when it is done
		if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		checkFor(t, patience, func() error {
			if n := strings.Count(d.Log.String(), "configuration reloaded"); n != i+1 {
				return fmt.Errorf("%d reloads are logged, want %d", n, i+1)
			}
			return nil
		})
	}
	if after := d.stats().Connections.Front; after != before {
		t.Errorf("%d front connections, %d before the reloads", after, before)
	}
	c.hush(d)
	c.stopped.Store(true)
	d.stop(patience)
	if err := c.end(); err != nil {
		t.Error(err)
	}
	for i, f := range c.followers {
		if f.returns > 1 { // the last one is the server's end
			t.Errorf("subscriber %d was dropped %d times: %v", i, f.returns-1, f.ends)
		}
	}
}
