package torture

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server/servertest"
)

// TestReconnectStorm: while 100 stay connected and get 20 messages a second, thousands connect
// over TLS and subscribe. The p99 of those who stay is at most three times that of a quiet
// time, or that of the same storm in plain, where its clients take the processors; and behind
// the storm its memory is given back. The small size, which runs beside other
// tests, only sees that everything arrives.
func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	const stay = 100
	n, rounds := sized(300, 15_000), sized(1, 3)
	plain := fmt.Sprint(servertest.Loopback(t.TempDir()), ":", redistest.Port(t))
	d := startTLS(t, servertest.PlainBinary, "FRONT_TLS_LISTEN_PLAIN="+plain, "LIMITS_CONNECTIONS=0", "RUNTIME_EVENT_LOOPS=1") // which leaves two processors one for handshakes
	s := newStayers(t, d, stay)
	_ = s.during(t, func() error { time.Sleep(time.Second); return nil }) // all is warm
	calm := d.calm()
	base := d.rss()
	var quiet, plainly, loud []time.Duration
	for range rounds {
		quiet = append(quiet, s.during(t, func() error { time.Sleep(sized(time.Second, 5*time.Second)); return nil }))
		plainly = append(plainly, s.during(t, func() error { return help(make(chan struct{}), "storm", plain, strconv.Itoa(n), "plain") }))
		calm.back()
		stop := d.watchRSS()
		begun := time.Now()
		var connected time.Duration
		loud = append(loud, s.during(t, func() error {
			err := help(make(chan struct{}), "storm", d.front, strconv.Itoa(n))
			connected = time.Since(begun)
			return err
		}))
		most := stop() - base
		calm.back()
		settled := time.Now()
		limit := int64(8 * mib)
		var left int64
		checkFor(t, sized(patience, 3*patience), func() error {
			if left = d.rss() - base; left > limit {
				return fmt.Errorf("%d MiB are left of %d", left/mib, most/mib)
			}
			return nil
		})
		t.Logf("%d connected in %v; p99 of those who stay %v, quiet %v, during the same storm in plain %v; %d MiB at most, %d KiB left %v after the last had gone", n, connected.Round(time.Millisecond),
			loud[len(loud)-1], quiet[len(quiet)-1], plainly[len(plainly)-1], most/mib, left>>10, time.Since(settled).Round(100*time.Millisecond))
	}
	if q, p, l := median(quiet), median(plainly), median(loud); l > max(3*q, p, sized(patience, 5*time.Millisecond)) {
		t.Errorf("p99 of those who stay: %v quiet, %v during a storm in plain, %v over TLS", q, p, l)
	}
	t.Logf("handshakes %v", d.stats().TLS["front"].Handshakes)
}

// stayers are subscribers over TLS of one channel.
type stayers struct {
	d    *daemon
	all  []*stream
	mu   sync.Mutex
	took []time.Duration // from the publish to the delivery
	fail atomic.Pointer[error]
	over sync.WaitGroup
	got  atomic.Int64
	sent int64
}

func newStayers(t *testing.T, d *daemon, n int) *stayers {
	s := &stayers{d: d, all: make([]*stream, n)}
	t.Cleanup(func() {
		for _, st := range s.all {
			if st != nil {
				st.nc.Close()
			}
		}
		s.over.Wait()
	})
	if err := errorsOf(n, func(i int) (err error) {
		s.all[i], err = subscribeTLS("", d.front, "stay", clientTLS(tls.VersionTLS13))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, st := range s.all {
		_ = st.nc.SetDeadline(time.Time{})
		s.over.Go(func() { s.listen(st) })
	}
	return s
}

// listen notes how old each message is, and that none is missing.
func (s *stayers) listen(st *stream) {
	for seq := int64(1); ; {
		ms, err := st.read()
		now := time.Now()
		for _, m := range ms {
			if m.Type != "data" {
				continue
			}
			at, bad := strconv.ParseInt(m.Content, 10, 64)
			if m.Seq != seq || bad != nil {
				err = fmt.Errorf("got %d %q, want %d", m.Seq, m.Content, seq)
				break
			}
			seq++
			s.got.Add(1)
			s.mu.Lock()
			s.took = append(s.took, now.Sub(time.Unix(0, at)))
			s.mu.Unlock()
		}
		if err != nil {
			s.fail.CompareAndSwap(nil, &err)
			return
		}
	}
}

// during publishes 20 messages a second while f runs, and gives the p99 of their deliveries.
func (s *stayers) during(t *testing.T, f func() error) time.Duration {
	t.Helper()
	s.mu.Lock()
	s.took = nil
	s.mu.Unlock()
	over := make(chan error, 1)
	go func() { over <- f() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
			s.d.push("stay", strconv.FormatInt(time.Now().UnixNano(), 10))
			s.sent++
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		}
	}
	checkFor(t, patience, func() error {
		if err := s.fail.Load(); err != nil {
			t.Fatalf("one who stays: %v", *err)
		}
		if got, want := s.got.Load(), s.sent*int64(len(s.all)); got != want {
			return fmt.Errorf("%d messages have come, want %d", got, want)
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return p99(s.took)
}

// storm is the helper process of TestReconnectStorm: n clients connect as fast as they can,
// subscribe, and go when all are there.
func storm(args []string, on func()) error {
	on()
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	config := &tls.Config{InsecureSkipVerify: true}
	if len(args) > 2 {
		config = nil
	}
	all := make([]net.Conn, n)
	return inTurns(64, n, func(i int) (err error) {
		// Who was cut, because this machine was too busy for its handshake, comes again.
		for begun := time.Now(); time.Since(begun) < patience; {
			if all[i], err = come(args[0], config); err == nil {
				return nil
			}
		}
		return err
	})
}

// come connects and subscribes, in plain without config. The connection below TLS is all that
// is kept of the client.
func come(addr string, config *tls.Config) (net.Conn, error) {
	nc, err := dialFrom("", addr, 0)
	if err != nil {
		return nil, err
	}
	c := nc
	if config != nil {
		if c, err = secureOn(nc, config); err != nil {
			return nil, err
		}
	}
	if err := (&stream{nc: c, kind: "stream"}).ask("storm", 1); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}
