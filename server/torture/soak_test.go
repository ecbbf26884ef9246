package torture

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icomet/bench"
	"icomet/bench/scenario"
	"icomet/bench/target"
	"icomet/server/servertest"
)

// soakVariable says for how many seconds the server is soaked.
const soakVariable = "ICOMET_SOAK_SECONDS"

// TestSoak runs all kinds of good clients, with churn and slow readers (icomet-bench
// mixed), beside bad ones and reloads. No message may be lost, doubled or out of
// order, the log stays clean, and afterwards everything is as it was.
func TestSoak(t *testing.T) {
	lasting, drain, n, rate := 3*time.Second, 2*time.Second, 300, 300.0
	if seconds, err := strconv.Atoi(os.Getenv(soakVariable)); err == nil {
		lasting, drain, n, rate = time.Duration(seconds)*time.Second, 10*time.Second, 2000, 1000
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	writeSoakConfig(t, path, 0)
	d := start(t, servertest.PlainBinary, path, "FRONT_CHANNEL_TIMEOUT=2", "FRONT_POLLING_TIMEOUT=300", "LIMITS_SEND_BUFFER=64KiB")
	s := soak{d: d, t: t, path: path}
	s.warmUp()
	before := d.stats()
	files, memory := d.descriptors(), d.rss()

	mixed, err := scenario.Preset("mixed", scenario.Options{Subscribers: n, Rate: rate, Slow: -1, Duration: lasting,
		Warmup: 500 * time.Millisecond, Drain: drain, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	hooligans := s.begin()
	result, err := bench.Run(t.Context(), mixed, target.Target{Running: []target.Node{{Front: d.front, Admin: d.admin, PID: d.Cmd.Process.Pid}}}, nil)
	hooligans()
	if err != nil {
		t.Fatal(err)
	}
	if result.Failures > 0 {
		t.Errorf("%d failures, first: %s\n%+v", result.Failures, result.FirstFailure, result.Total)
	}
	t.Logf("%d publishes, %d deliveries, %d short lives, %d slow ones cut, %d reloads, %d bad clients; p99 %.1f ms; RSS peak %d MiB",
		result.Total.Answered, result.Total.Deliveries, result.Total.Cycles, result.Total.SlowCut, s.reloads, s.bad, result.Latency.P99, result.RSSPeak/mib)
	s.checkBack(before, files, memory)
	d.stop(patience)
	if log := d.Log.String(); strings.Contains(log, "level=WARN") {
		t.Errorf("the log has warnings:\n%.3000s", log)
	}
}

type soak struct {
	d            *daemon
	t            *testing.T
	path         string
	reloads, bad int
}

func writeSoakConfig(t *testing.T, path string, i int) {
	t.Helper()
	text := fmt.Sprintf("[front]\nchannel_buffer_size = %d\n[limits]\nidle_timeout = \"%ds\"\nkeepalive = \"%ds\"\n", 50+i%10, 60+i%5, 30+i%7)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// warmUp does a little of everything, so that what is then measured has its pools.
func (s *soak) warmUp() {
	s.t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s.misbehave(r)
	}
	s.d.waitStats(patience, func(st stats) error {
		if st.Connections.Front > 0 || st.Channels > 0 {
			return fmt.Errorf("%d connections, %d channels", st.Connections.Front, st.Channels)
		}
		return nil
	})
}

// begin lets bad clients come, and configurations change, until end is called.
func (s *soak) begin() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		r := rand.New(rand.NewPCG(2, 2))
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			s.misbehave(r)
			s.bad++
			<-tick.C
		}
	})
	all.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			s.reloads++
			writeSoakConfig(s.t, s.path, s.reloads)
			_ = s.d.Cmd.Process.Signal(syscall.SIGHUP)
			<-tick.C
		}
	})
	return func() { cancel(); all.Wait() }
}

// misbehave is one bad client: a hostile request, a half one, garbage behind a
// subscription, a stream that is never read; ended gently or with a reset.
func (s *soak) misbehave(r *rand.Rand) {
	nc, err := dial(s.d.front, 4096)
	if err != nil {
		return // it shows in the bench's own connections
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	const subscribe = "GET /stream?cname=soak&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
	switch r.IntN(5) {
	case 0:
		_, _ = io.WriteString(nc, hostile[r.IntN(len(hostile))].bytes)
	case 1:
		_, _ = io.WriteString(nc, subscribe[:r.IntN(len(subscribe))])
	case 2:
		_, _ = io.WriteString(nc, subscribe+strings.Repeat("garbage", r.IntN(5000)))
	case 3:
		_, _ = io.WriteString(nc, subscribe)
		_, _ = nc.Read(make([]byte, 10))
	default:
		_, _ = io.WriteString(nc, subscribe+subscribe)
		_ = vanish(nc)
	}
	if r.IntN(2) == 0 {
		reset(nc)
		return
	}
	_ = nc.Close()
}

// checkBack wants everything to be as before, in the time that channels live, gone
// peers are found and memory is given back.
func (s *soak) checkBack(before stats, files int, memory int64) {
	s.t.Helper()
	d := s.d
	d.waitStats(2*patience, func(now stats) error {
		rss := d.rss()
		switch {
		case now.Channels != 0 || now.Subscribers != 0 || now.Connections.Front != 0:
			return fmt.Errorf("%d channels, %d subscribers, %d front connections", now.Channels, now.Subscribers, now.Connections.Front)
		case d.descriptors() > files:
			return fmt.Errorf("%d descriptors, %d before", d.descriptors(), files)
		case now.Runtime.Goroutines > before.Runtime.Goroutines:
			return fmt.Errorf("%d goroutines, %d before", now.Runtime.Goroutines, before.Runtime.Goroutines)
		case rss > memory+24*mib:
			return fmt.Errorf("RSS %d MiB, %d MiB before", rss/mib, memory/mib)
		case now.Panics > 0:
			s.t.Fatalf("%d panics", now.Panics)
		}
		return nil
	})
	s.t.Logf("RSS %d MiB, %d MiB before", d.rss()/mib, memory/mib)
}
