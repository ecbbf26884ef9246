package torture

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

// helloTime and shakeTime are what a client has for its hello, and from there to Finished.
const helloTime, shakeTime = 10 * time.Second, 3 * time.Second

// firsts are what hostile clients begin with. The connection ends within the time.
var firsts = []struct {
	about  string
	bytes  func(hello string) string // byte by byte too, if that ends at once
	answer string                    // what comes back has it; "": nothing is to come back
	within time.Duration
}{
	{"garbage", func(string) string { return strings.Repeat("\xff\xfe\x00", 1000) }, "", 0},
	{"zeros", func(string) string { return strings.Repeat("\x00", 100_000) }, "", 0},
	{"too long a record", func(string) string { return "\x16\x03\x01\x40\x01" + strings.Repeat("x", 1<<14+1) }, "", 0},
	{"the longest length", func(string) string { return "\x16\x03\x01\xff\xff" }, "", 0},
	{"an empty record", func(string) string { return "\x16\x03\x01\x00\x00" }, "", 0},
	{"another version", func(string) string { return "\x16\x02\x00\x00\x20" }, "", 0},
	{"SSLv2", func(string) string { return "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" }, "", 0},
	{"an alert", func(string) string { return "\x15\x03\x01\x00\x02\x01\x00" }, "", 0},
	{"data", func(string) string { return "\x17\x03\x03\x00\x20" + strings.Repeat("x", 32) }, "", 0},
	{"plain HTTP", func(string) string { return pingRequest }, "HTTP/1.1 400 ", 0},
	{"plain HTTP with a body", func(string) string { return "POST /x HTTP/1.1\r\n\r\n" + strings.Repeat("x", 100_000) }, "HTTP/1.1 400 ", 0},
	{"SMTP", func(string) string { return "EHLO evil\r\n" }, "HTTP/1.1 400 ", 0},
	{"garbage in a record", func(string) string { return "\x16\x03\x01\x00\x20" + strings.Repeat("\xff", 32) }, "\x15\x03", 0},
	{"a hello that never ends", func(string) string {
		return "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + strings.Repeat("x", 1<<14-4)
	}, "\x15\x03", 0},
	{"a hello in records of a byte, many empty", func(h string) string {
		return "\x16\x03\x01\x00\x01" + h[5:6] + strings.Repeat("\x16\x03\x01\x00\x00", 1000)
	}, "\x15\x03", 0},
	{"a server's hello", func(h string) string { return h[:5] + "\x02" + h[6:] }, "\x15\x03", 0},
	{"a hello, then garbage", func(h string) string { return h + strings.Repeat("\xff", 100) }, "\x16\x03", 0},
	{"a hello, then a wrong record", func(h string) string {
		return h + "\x17\x03\x03\x00\x20" + strings.Repeat("x", 32)
	}, "\x16\x03", 0},
	{"a hello, then plain HTTP", func(h string) string { return h + pingRequest }, "\x16\x03", 0},
	{"a hello, then close_notify", func(h string) string { return h + "\x15\x03\x03\x00\x02\x01\x00" }, "\x16\x03", 0},
	{"a hello, then warnings", func(h string) string { return h + strings.Repeat("\x15\x03\x03\x00\x02\x01\x5a", 1000) }, "\x16\x03", 0},
	{"a hello, then a flood", func(h string) string { return h + strings.Repeat("\x14\x03\x03\x00\x01\x01", 500_000) }, "\x16\x03", 0},
	{"two hellos", func(h string) string { return h + h }, "\x16\x03", 0},
	{"a hello, then nothing", func(h string) string { return h }, "\x16\x03", shakeTime},
	{"a hello, then half a record", func(h string) string { return h + "\x17\x03\x03\x00\x20xxx" }, "\x16\x03", shakeTime},
	{"nothing", func(string) string { return "" }, "", helloTime},
	{"half a hello", func(h string) string { return h[:len(h)/2] }, "", helloTime},
}

// TestHostileHellos: whoever does not do a handshake is gone at once, or in time, and has
// been told what there was to tell. A healthy subscriber goes on, and nothing is left.
func TestHostileHellos(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary)
	p := d.newProbeTLS()
	calm := d.calm()
	hello := string(helloOf(t, clientTLS(tls.VersionTLS13)))
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := errorsOf(2*len(firsts), func(i int) error {
			f := &firsts[i/2]
			begun := time.Now()
			answer, err := beginWith(d.front, f.bytes(hello), i%2 == 1)
			took := time.Since(begun)
			switch {
			case err != nil:
			case !strings.HasPrefix(answer, f.answer) || f.answer == "" && answer != "":
				err = fmt.Errorf("got %.40q, want %q", answer, f.answer)
			case took > f.within+lateness || f.within > 0 && took < f.within-300*time.Millisecond:
				err = fmt.Errorf("the end came after %v, want %v", took, f.within)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.about, err)
			}
			return nil
		})
		ended.Store(true)
		over <- err
	}()
	if _, err := p.run(func(n int) bool { return n > 10 && ended.Load() }); err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	calm.back()
	s := d.stats()
	n := 0
	for result, times := range s.TLS["front"].Handshakes {
		if result != "ok" {
			n += times
		}
	}
	if s.Closed["tls"] != 2*len(firsts) || n != 2*len(firsts) {
		t.Errorf("%d were closed for TLS, want %d; handshakes %v", s.Closed["tls"], 2*len(firsts), s.TLS["front"].Handshakes)
	}
}

// beginWith sends the bytes and reads up to the end of the connection, or to a reset.
func beginWith(addr, text string, slow bool) (answer string, err error) {
	nc, err := dialFrom("", addr, 0)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(helloTime + patience))
	go send(nc, text, slow)
	var b strings.Builder
	_, err = io.Copy(&b, nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return b.String(), fmt.Errorf("the connection stays open")
	}
	return b.String(), nil
}

// TestDribbledHellos: many connections send their hello byte by byte. Each is cut when its
// time is over, memory stays bounded, and a healthy channel notices little.
func TestDribbledHellos(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.PlainBinary, "LIMITS_CONNECTIONS=0")
	p := d.newProbeTLS()
	calm := d.calm()
	base, stop := d.rss(), d.watchRSS()
	hello := helloOf(t, clientTLS(tls.VersionTLS13))
	n := sized(150, 10_000)
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := errorsOf(n, func(int) error { return dribbleHello(d.front, hello) })
		ended.Store(true)
		over <- err
	}()
	took, err := p.run(func(n int) bool { return n > 10 && ended.Load() })
	if err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	most := stop() - base
	t.Logf("%d connections cost %d KiB at most; p99 of a healthy channel %v", n, most>>10, p99(took))
	if most > int64(n)*8<<10+24*mib {
		t.Errorf("%d MiB for %d connections", most/mib, n)
	}
	calm.back()
	if s := d.stats(); s.Closed["tls"] != n || s.TLS["front"].Handshakes["no_hello"] != n {
		t.Errorf("%d were closed for TLS, want %d; handshakes %v", s.Closed["tls"], n, s.TLS["front"].Handshakes)
	}
}

func dribbleHello(addr string, hello []byte) error {
	nc, err := dialFrom("", addr, 0)
	if err != nil {
		return err
	}
	defer nc.Close()
	begun := time.Now()
	_ = nc.SetDeadline(begun.Add(helloTime + patience))
	end := make(chan error, 1)
	go func() { end <- waitEnd(nc) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(hello) > 0 {
			_, _ = nc.Write(hello[:1]) // the end shows below
			hello = hello[1:]
		}
		select {
		case err := <-end:
			if took := time.Since(begun); err == nil && (took < helloTime-300*time.Millisecond || took > helloTime+lateness) {
				err = fmt.Errorf("cut after %v, the deadline is %v", took, helloTime)
			}
			return err
		case <-tick.C:
		}
	}
}

// stepper is a connection that breaks when so many bytes were written to it, or read.
type stepper struct {
	net.Conn
	left *int // of the client's bytes; nil: there is no end
	down *int // of the server's
}

func (s *stepper) Write(p []byte) (int, error) {
	if s.left == nil {
		return s.Conn.Write(p)
	}
	n := min(len(p), *s.left)
	*s.left -= n
	if n > 0 {
		if n, err := s.Conn.Write(p[:n]); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func (s *stepper) Read(p []byte) (int, error) {
	if s.down == nil {
		return s.Conn.Read(p)
	}
	if *s.down == 0 {
		return 0, io.ErrClosedPipe
	}
	n, err := s.Conn.Read(p[:min(len(p), *s.down)])
	*s.down -= n
	return n, err
}

// TestHandshakeEndsAnywhere: clients reset, or just close, behind each byte that they send or
// get, from the hello to an open stream, so that descriptors are used again while handshakes
// for those before them still compute. Nobody gets what is another's, and nothing is left.
func TestHandshakeEndsAnywhere(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary, "FRONT_CHANNEL_TIMEOUT=1")
	p := d.newProbeTLS()
	calm := d.calm()
	step := sized(41, 1)
	over := make(chan error, 1)
	var ended atomic.Bool
	var good sync.WaitGroup
	for range 2 { // whose handshakes go well all the time, on descriptors of the others
		good.Go(func() {
			for !ended.Load() {
				if err := pingTLS("", d.front, clientTLS(tls.VersionTLS13)); err != nil {
					t.Errorf("a good client: %v", err)
					return
				}
			}
		})
	}
	go func() {
		err := inTurns(16, 4*2400/step, func(i int) error {
			at := i / 4 * step
			nc, err := dialFrom("", d.front, 0)
			if err != nil {
				return err
			}
			ends := &stepper{Conn: nc, left: &at}
			if i%4 > 1 {
				ends = &stepper{Conn: nc, down: &at}
			}
			c := tls.Client(ends, clientTLS(tlsVersions[i/4%2]))
			_ = nc.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(c, streamRequest); err == nil {
				_, _ = c.Read(make([]byte, 100))
			}
			if i%2 == 0 {
				reset(nc)
				return nil
			}
			return nc.Close()
		})
		ended.Store(true)
		over <- err
	}()
	if _, err := p.run(func(n int) bool { return n > 10 && ended.Load() }); err != nil {
		t.Errorf("the healthy channel: %v", err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	good.Wait()
	calm.back()
	t.Logf("handshakes %v, closed %v", d.stats().TLS["front"].Handshakes, d.stats().Closed)
}
