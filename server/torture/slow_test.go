package torture

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

// TestDribble: many connections send a request byte by byte. Each gets its 408 at the
// deadline, memory stays bounded, and a healthy channel notices little.
func TestDribble(t *testing.T) {
	t.Parallel()
	n, timeout := sized(150, 10000), sized(700*time.Millisecond, 4*time.Second)
	d := start(t, servertest.PlainBinary, "", "LIMITS_REQUEST_TIMEOUT="+timeout.String(), "LIMITS_CONNECTIONS=0")
	p := d.newProbe()
	base, stop := d.rss(), d.watchRSS()
	p.compareRounds(t, func(on chan<- struct{}) error {
		return help(on, "dribble", d.front, strconv.Itoa(n), timeout.String())
	})
	if most := stop(); most-base > int64(n)*16<<10+24*mib {
		t.Errorf("%d MiB for %d connections", (most-base)/mib, n)
	}
	if s := d.stats(); s.Closed["request_timeout"] != 5*n || s.Connections.Front != 1 {
		t.Errorf("%d were closed by the deadline, want %d; %d are connected", s.Closed["request_timeout"], 5*n, s.Connections.Front)
	}
}

// dribbleMany is the helper process of TestDribble.
func dribbleMany(args []string, on func()) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	timeout, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	var started sync.WaitGroup
	started.Add(n)
	go func() { started.Wait(); on() }()
	return errorsOf(n, func(int) error { return dribble(args[0], timeout, started.Done) })
}

// dribble sends a byte now and then until it is told that it took too long.
func dribble(addr string, timeout time.Duration, started func()) error {
	nc, err := dial(addr, 0)
	started()
	if err != nil {
		return err
	}
	defer nc.Close()
	begun, over := time.Now(), make(chan struct{})
	_ = nc.SetDeadline(begun.Add(timeout + patience))
	go func() {
		tick := time.NewTicker(timeout / 5)
		defer tick.Stop()
		for _, b := range []byte("GET /stream?cname=dribble HTTP/1.1\r\nHost: localhost\r\n\r\n") {
			if _, err := nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	answer, err := io.ReadAll(nc)
	close(over)
	took := time.Since(begun)
	switch {
	case !strings.HasPrefix(string(answer), "HTTP/1.1 408 "):
		return fmt.Errorf("got %.60q, %v", answer, err)
	case took < timeout-300*time.Millisecond || took > timeout+lateness:
		return fmt.Errorf("the 408 came after %v, the deadline is %v", took, timeout)
	}
	return nil
}

// hoard opens n streams that read nothing beyond the head.
func (d *daemon) hoard(n, rcvbuf int, cname string) []net.Conn {
	d.t.Helper()
	all := make([]net.Conn, n)
	var next atomic.Int64
	err := errorsOf(min(n, 100), func(int) error {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			nc, err := dial(d.front, rcvbuf)
			if err != nil {
				return err
			}
			all[i] = nc
			if _, err := fmt.Fprintf(nc, "GET /stream?cname=%s&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", cname); err != nil {
				return err
			}
		}
		return nil
	})
	d.t.Cleanup(func() {
		for _, nc := range all {
			if nc != nil {
				nc.Close()
			}
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// TestNeverRead: subscribers that never read are cut at outbound_buffer and counted,
// cost twice that at most, and leave nothing behind.
func TestNeverRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		n, rcvbuf int
		size      int
		settings  []string
	}{
		{"4 KiB receive buffer", sized(150, 5000), 4096, 1000, []string{"LIMITS_SEND_BUFFER=4KiB"}},
		{"default buffers", sized(15, 500), 0, 4096, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const outbound = 256 << 10
			d := start(t, servertest.PlainBinary, "", append(tc.settings, "LIMITS_OUTBOUND_BUFFER=256KiB", "FRONT_CHANNEL_TIMEOUT=1")...)
			p := d.newProbe()
			base, stop := d.rss(), d.watchRSS()
			d.hoard(tc.n, tc.rcvbuf, "greedy")
			d.waitSubscribers(tc.n + 1)
			content, sent := strings.Repeat("x", tc.size), 0
			for left := tc.n; left > 0; sent++ {
				d.push("greedy", content)
				if sent%50 == 0 {
					left = d.stats().Subscribers - 1
				}
				if sent > 5000 {
					t.Fatalf("%d are still there after %d messages", left, sent)
				}
			}
			most := stop() - base
			if limit := int64(tc.n)*2*outbound + 24*mib; most > limit {
				t.Errorf("%d subscribers cost %d MiB, at most %d MiB", tc.n, most/mib, limit/mib)
			}
			if n := d.stats().Closed["slow_consumer"]; n != tc.n {
				t.Errorf("%d are counted as slow, want %d", n, tc.n)
			}
			if _, err := p.run(func(n int) bool { return n > 20 }); err != nil {
				t.Errorf("the healthy channel: %v", err)
			}
			checkFor(t, sized(patience, 3*patience), func() error {
				if now := d.rss() - base; now > 24*mib+most/20 {
					return fmt.Errorf("%d MiB are left of %d", now/mib, most/mib)
				}
				return nil
			})
			t.Logf("%d messages; %d MiB at most, %d MiB afterwards", sent, most/mib, (d.rss()-base)/mib)
		})
	}
}

// TestBigMessages: a message goes to many who do not read yet. The memory for it is
// what the limits allow, and everybody gets it in the end.
func TestBigMessages(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ n, size int }{{sized(25, 500), mib - 100}, {sized(250, 10000), 64 << 10}} {
		t.Run(fmt.Sprintf("%d KiB", tc.size>>10), func(t *testing.T) {
			d := start(t, servertest.PlainBinary, "", "LIMITS_SEND_BUFFER=4KiB")
			base, stop := d.rss(), d.watchRSS()
			all := d.hoard(tc.n, 4096, "big")
			d.waitSubscribers(tc.n)
			content := strings.Repeat("y", tc.size)
			d.push("big", content)
			if err := errorsOf(tc.n, func(i int) error {
				s := &stream{nc: all[i], kind: "stream"}
				_ = s.nc.SetDeadline(time.Now().Add(10 * patience))
				if err := s.readHead(); err != nil {
					return err
				}
				return s.want(1, content)
			}); err != nil {
				t.Error(err)
			}
			most := stop() - base
			t.Logf("%d MiB", most/mib)
			if limit := 2*int64(tc.n)*int64(max(tc.size, 256<<10)) + 32*mib; most > limit {
				t.Errorf("%d MiB, at most %d MiB", most/mib, limit/mib)
			}
		})
	}
}

// TestPipelining: clients that send requests without end, reading nothing, are cut;
// publishers that pipeline without end, and read, do not hold up another channel.
func TestPipelining(t *testing.T) {
	t.Parallel()
	d := start(t, servertest.PlainBinary, "", "FRONT_CHANNEL_TIMEOUT=1")
	p := d.newProbe()
	base := d.rss()
	flood := strings.Repeat("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000)
	if err := errorsOf(sized(8, 50), func(int) error {
		nc, err := dial(d.front, 4096)
		if err != nil {
			return err
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		for range 2000 {
			if _, err := io.WriteString(nc, flood); err != nil {
				if strings.Contains(err.Error(), "timeout") {
					return err
				}
				return nil // cut
			}
		}
		return fmt.Errorf("two million requests were taken without one answer read")
	}); err != nil {
		t.Error(err)
	}
	if n := d.stats().Closed["slow_consumer"]; n == 0 {
		t.Error("nobody is counted as slow")
	}
	d.pipeline(t, p)
	if now := d.rss() - base; now > 64*mib {
		t.Errorf("%d MiB more than before", now/mib)
	}
}

// pipeline lets four publishers pipeline without end while the probe measures.
func (d *daemon) pipeline(t *testing.T, p *probe) {
	t.Helper()
	var stop atomic.Bool
	var answered atomic.Int64
	var all sync.WaitGroup
	request := "GET /push?cname=other&content=x HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for range 4 {
		all.Go(func() {
			for batch := strings.Repeat(request, 500); !stop.Load(); {
				if err := pipelineOn(d.admin, batch, &answered, &stop); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	end := time.Now().Add(sized(1500*time.Millisecond, 15*time.Second))
	took, err := p.run(func(int) bool { return time.Now().After(end) && answered.Load() >= 1000 })
	stop.Store(true)
	all.Wait()
	if err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	t.Logf("%d pipelined publishes; p99 of another channel %v of %d", answered.Load(), p99(took), len(took))
	if worst := p99(took); worst >= sized(5*time.Second, 500*time.Millisecond) {
		t.Errorf("p99 of another channel is %v", worst)
	}
}

// pipelineOn publishes on one connection, until it is stopped or cut: who writes
// faster than it reads is.
func pipelineOn(addr, batch string, answered *atomic.Int64, stop *atomic.Bool) error {
	nc, err := dial(addr, 0)
	if err != nil {
		return err
	}
	_ = nc.SetDeadline(time.Now().Add(3 * patience))
	var reading sync.WaitGroup
	reading.Go(func() {
		for r := bufio.NewReader(nc); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "HTTP/1.1 200") {
				answered.Add(1)
			}
		}
	})
	for err == nil && !stop.Load() {
		_, err = io.WriteString(nc, batch)
	}
	_ = nc.Close()
	reading.Wait()
	return nil
}
