package torture

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
)

// TestSilentHellos: thousands of clients of a few addresses say hello and nothing more, and
// come again when they are cut. With a hello as large as can be, they fill what may wait. A
// subscriber gets its messages, and newcomers of other addresses soon get in.
func TestSilentHellos(t *testing.T) {
	t.Parallel()
	usual := helloOf(t, clientTLS(tls.VersionTLS13))
	huge := append([]byte("\x16\x03\x01\x40\x00\x01\x00\xff\xff"), make([]byte, 1<<14-4)...) // the first of four records
	for _, tc := range []struct {
		about     string
		hello     []byte
		n         int
		addresses int
		cost      int64 // of a connection, in bytes
	}{
		{"usual hello", usual, sized(400, 10_000), 4, 8 << 10},
		{"usual hello, two addresses", usual, sized(400, 10_000), 2, 8 << 10},
		{"huge hello", huge, sized(400, 4_000), 2, 24 << 10},
	} {
		t.Run(tc.about, func(t *testing.T) {
			t.Parallel()
			d := startTLS(t, servertest.PlainBinary, "LIMITS_CONNECTIONS=0", fmt.Sprint("FRONT_TLS_HANDSHAKES=", sized(16, 256)))
			p := d.newProbeTLS()
			calm := d.calm()
			base, stop := d.rss(), d.watchRSS()
			lasts := time.Now().Add(sized(2*time.Second, 20*time.Second))
			over := make(chan error, 1)
			var ended atomic.Bool
			go func() {
				err := errorsOf(tc.n, func(i int) error {
					from := fmt.Sprintf("127.0.0.%d", 10+i%tc.addresses)
					for again := true; again; again = time.Now().Before(lasts) {
						if err := silentHello(from, d.front, tc.hello); err != nil {
							return err
						}
					}
					return nil
				})
				ended.Store(true)
				over <- err
			}()
			d.waitStats(patience, func(s stats) error {
				if front := s.TLS["front"]; front.InFlight < sized(16, 256) || front.Waiting < tc.n/8 {
					return fmt.Errorf("%d handshakes in flight, %d waiting", front.InFlight, front.Waiting)
				}
				return nil
			})
			var waits []time.Duration
			newcomers := make(chan error, 1)
			go func() {
				for i := 0; !ended.Load() && time.Now().Before(lasts); i++ {
					begun := time.Now()
					if err := pingTLS(fmt.Sprintf("127.0.0.%d", 100+i%10), d.front, clientTLS(tls.VersionTLS13)); err != nil {
						newcomers <- err
						return
					}
					waits = append(waits, time.Since(begun))
				}
				newcomers <- nil
			}()
			took, err := p.run(func(n int) bool { return n > 10 && ended.Load() })
			if err != nil {
				t.Fatalf("the healthy channel: %v", err)
			}
			if err := <-newcomers; err != nil {
				t.Errorf("a newcomer of another address: %v", err)
			}
			if err := <-over; err != nil {
				t.Error(err)
			}
			most, late := stop()-base, p100(waits)
			t.Logf("%d connections cost %d MiB at most; %d newcomers got in within %v; p99 of a healthy channel %v; %v",
				tc.n, most/mib, len(waits), late, p99(took), d.stats().TLS["front"].Handshakes)
			if limit := int64(tc.n)*tc.cost + 64*mib; most > limit {
				t.Errorf("%d MiB, at most %d MiB", most/mib, limit/mib)
			}
			if late > shakeTime+lateness {
				t.Errorf("a newcomer of another address got in after %v", late)
			}
			calm.back()
			checkFor(t, sized(patience, 3*patience), func() error {
				if now := d.rss() - base; now > 24*mib+most/20 {
					return fmt.Errorf("%d MiB are left of %d", now/mib, most/mib)
				}
				return nil
			})
		})
	}
}

// p100 is the longest.
func p100(took []time.Duration) (most time.Duration) {
	for _, d := range took {
		most = max(most, d)
	}
	return most
}

// silentHello says hello, and wants to be cut when its time is over: the latest is who waits
// for a place the whole time that it may.
func silentHello(from, addr string, hello []byte) error {
	nc, err := dialFrom(from, addr, 0)
	if err != nil {
		return err
	}
	defer nc.Close()
	begun := time.Now()
	_ = nc.SetDeadline(begun.Add(helloTime + shakeTime + patience))
	if _, err := nc.Write(hello); err != nil {
		return err
	}
	if err := waitEnd(nc); err != nil {
		return err
	}
	if took := time.Since(begun); took > helloTime+shakeTime+time.Second+lateness {
		return fmt.Errorf("cut after %v", took)
	}
	return nil
}

// TestBigMessagesTLS: 1 MB goes over TLS to many who do not read yet. The memory for it is
// what the limits allow, and everybody gets it in the end; who never reads is cut.
func TestBigMessagesTLS(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.PlainBinary, "LIMITS_SEND_BUFFER=4KiB", "LIMITS_OUTBOUND_BUFFER=1536KiB", "FRONT_CHANNEL_TIMEOUT=1")
	calm := d.calm()
	base, stop := d.rss(), d.watchRSS()
	n, size := sized(20, 300), mib-100
	all := make([]*stream, n)
	if err := errorsOf(n, func(i int) error {
		nc, err := dialFrom("", d.front, 4096)
		if err != nil {
			return err
		}
		c, err := secureOn(nc, clientTLS(tlsVersions[i%2]))
		if err != nil {
			return err
		}
		all[i] = &stream{nc: c, kind: "stream"}
		return all[i].ask("big", 1)
	}); err != nil {
		t.Fatal(err)
	}
	d.waitSubscribers(n)
	content := strings.Repeat("y", size)
	d.push("big", content)
	if err := errorsOf(n/2, func(i int) error {
		_ = all[i].nc.SetDeadline(time.Now().Add(10 * patience))
		return all[i].want(1, content)
	}); err != nil {
		t.Error(err)
	}
	d.push("big", content) // too much for those who have not read the first one
	d.waitSubscribers(n / 2)
	if err := errorsOf(n/2, func(i int) error { return all[i].want(2, content) }); err != nil {
		t.Error(err)
	}
	most := stop() - base
	t.Logf("%d MiB for %d", most/mib, n)
	if limit := 2*int64(n)*int64(size) + 32*mib; most > limit {
		t.Errorf("%d MiB, at most %d MiB", most/mib, limit/mib)
	}
	if slow := d.stats().Closed["slow_consumer"]; slow != n-n/2 {
		t.Errorf("%d are counted as slow, want %d", slow, n-n/2)
	}
	for i, s := range all {
		if i >= n/2 { // a whole record or none: what it got is right as far as it goes
			_ = s.nc.SetDeadline(time.Now().Add(10 * patience))
			if _, err := io.Copy(io.Discard, s.body); err != io.ErrUnexpectedEOF && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("subscriber %d, cut: %v", i, err)
			}
		}
		s.nc.Close()
	}
	calm.back()
}

// TestResumptions: many clients come again with their tickets, also those from before a
// reload, and get what they ask for.
func TestResumptions(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary)
	calm := d.calm()
	n := sized(100, 1000)
	var resumed atomic.Int64
	if err := inTurns(8, n/10, func(i int) error {
		config := clientTLS(tlsVersions[i%2])
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for range 10 {
			nc, err := dialFrom("", d.front, 0)
			if err != nil {
				return err
			}
			c, err := secureOn(nc, config)
			if err != nil {
				return err
			}
			if c.ConnectionState().DidResume {
				resumed.Add(1)
			}
			for range 3 {
				if _, err := io.WriteString(c, strings.Replace(pingRequest, "Connection: close\r\n", "", 1)); err != nil {
					return err
				}
				if b := make([]byte, 4096); readAnswer(c, b) != nil {
					return fmt.Errorf("no answer: %w", readAnswer(c, b))
				}
			}
			c.Close()
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// TLS 1.2 has no tickets. Of TLS 1.3 all but the first of each client resume.
	if want := n / 20 * 9; int(resumed.Load()) != want || d.stats().TLS["front"].Resumed != want {
		t.Errorf("%d have resumed, %d are counted, want %d", resumed.Load(), d.stats().TLS["front"].Resumed, want)
	}
	calm.back()
}

func readAnswer(nc net.Conn, b []byte) error {
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	n, err := nc.Read(b)
	if err == nil && !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200 ") {
		err = fmt.Errorf("%.60q", b[:n])
	}
	return err
}

// TestReloadDuringHandshakes exchanges the certificate again and again while many connect:
// every handshake goes well, with one certificate or the other, and who is there stays.
func TestReloadDuringHandshakes(t *testing.T) {
	t.Parallel()
	ca, err := selfsigned.New("another")
	if err != nil {
		t.Fatal(err)
	}
	dir, both := t.TempDir(), servertest.ClientTLS()
	issued, err := ca.Server(both.ServerName)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := issued.Write(dir, "another")
	if err != nil {
		t.Fatal(err)
	}
	both.RootCAs = both.RootCAs.Clone()
	both.RootCAs.AddCert(ca.Certificate)
	pairs := []string{servertest.Certificate(), certificate + ":" + key}
	path := filepath.Join(dir, "config.toml")
	write := func(i int) {
		t.Helper()
		text := fmt.Sprintf("[front.tls]\ncertificates = [%q]\nhandshakes = %d\nmin_version = \"1.2\"\n", pairs[i%2], 1+i%7*40)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	d := start(t, servertest.Binary, path)
	p := d.newProbeTLS()
	calm := d.calm()
	var stopped atomic.Bool
	var shown [2]atomic.Int64
	over := make(chan error, 1)
	go func() {
		over <- errorsOf(sized(16, 64), func(i int) error {
			config := both.Clone()
			config.MaxVersion = tlsVersions[i%2]
			config.VerifyConnection = func(s tls.ConnectionState) error {
				if s.VerifiedChains[0][1].Equal(ca.Certificate) {
					shown[1].Add(1)
				} else {
					shown[0].Add(1)
				}
				return nil
			}
			for !stopped.Load() {
				if err := pingTLS(fmt.Sprintf("127.0.0.%d", 10+i), d.front, config); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	reloads := sized(20, 200)
	for i := range reloads {
		write(i + 1)
		d.Send(syscall.SIGHUP)
		d.WaitLog("configuration reloaded", i+1)
		if _, err := p.run(func(n int) bool { return n > 1 }); err != nil {
			t.Fatalf("the healthy channel: %v", err)
		}
	}
	stopped.Store(true)
	if err := <-over; err != nil {
		t.Error(err)
	}
	t.Logf("%d handshakes with one certificate, %d with the other", shown[0].Load(), shown[1].Load())
	if shown[0].Load() == 0 || shown[1].Load() == 0 {
		t.Error("one certificate was never shown")
	}
	calm.back()
}

// TestDrainDuringHandshakes: the server leaves while many connect and others are silent in
// the middle of their handshake. It ends in time; who was served has been told goodbye.
func TestDrainDuringHandshakes(t *testing.T) {
	t.Parallel()
	const drain = 2 * time.Second
	d := startTLS(t, servertest.Binary, "LIMITS_DRAIN_TIMEOUT="+drain.String())
	hello := helloOf(t, clientTLS(tls.VersionTLS13))
	streams := make([]*stream, sized(20, 500))
	if err := errorsOf(len(streams), func(i int) (err error) {
		streams[i], err = subscribeTLS("", d.front, "drained", clientTLS(tlsVersions[i%2]))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range sized(20, 500) { // silent ones: their end is not theirs to choose
		nc, err := dialFrom("", d.front, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	var connected, refused atomic.Int64
	begun := make(chan struct{})
	var once sync.Once
	for range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				err := pingTLS("", d.front, clientTLS(tlsVersions[i%2]))
				if err != nil {
					if refused.Add(1); errors.Is(err, syscall.ECONNREFUSED) {
						return
					}
				} else if connected.Add(1) > 10 {
					once.Do(func() { close(begun) })
				}
				select {
				case <-d.Ended:
					return
				default:
				}
			}
		})
	}
	<-begun
	d.stop(drain + 500*time.Millisecond + patience)
	all.Wait()
	t.Logf("%d handshakes, %d refused", connected.Load(), refused.Load())
	for i, s := range streams {
		_ = s.nc.SetDeadline(time.Now().Add(patience))
		for {
			_, err := s.read()
			if err == nil {
				continue
			}
			// The response is cut, so that clients return. Below it, crypto/tls has seen close_notify.
			if _, below := s.nc.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF || below != io.EOF {
				t.Errorf("stream %d ended with %v, below it %v", i, err, below)
			}
			break
		}
		s.nc.Close()
	}
}
