package secure

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// mute is the connection of a client that says no more than it is fed by the test.
type mute struct {
	*Handshake
	sent   [][]byte
	result *Result
	ended  time.Time
}

func (m *mute) HandshakeSends(b []byte) { m.sent = append(m.sent, b) }
func (m *mute) HandshakeOver(r Result)  { m.result, m.ended = &r, time.Now() }

// helloOf is the first record of a client.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	raw, wire := net.Pipe()
	gone := make(chan struct{})
	go func() {
		_ = tls.Client(raw, config).Handshake()
		close(gone)
	}()
	b := make([]byte, maxRecord)
	n, err := wire.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = wire.Close()
	<-gone
	return b[:n:n]
}

// starts begins the handshake of a client who is silent behind first.
func (s *site) starts(client string, first []byte) *mute {
	s.t.Helper()
	m := new(mute)
	h, err := s.Start(netip.MustParseAddr(client), bytes.Clone(first), m)
	if err != nil {
		s.t.Fatal(err)
	}
	m.Handshake = h
	return m
}

// TestTimeout: 3 s from the place to Finished, however long the wait for the place was.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(s *site) { s.settings.Handshakes = 1 })
		hello := helloOf(t, s.clientConfig())
		start := time.Now()
		first, second := s.starts("192.0.2.1", hello), s.starts("192.0.2.2", hello)
		time.Sleep(shakeTime - 1)
		synctest.Wait()
		if first.result != nil || len(first.sent) == 0 || len(second.sent) != 0 {
			t.Fatalf("just before the time is over: the first has ended with %v and sent %d times, the second %d times", first.result, len(first.sent), len(second.sent))
		}
		if err := first.Feed(hello[:4]); err != nil { // a part of a record does not help
			t.Error(err)
		}
		time.Sleep(2 * shakeTime)
		synctest.Wait()
		for i, m := range []*mute{first, second} {
			want := time.Duration(i+1) * shakeTime
			if m.result == nil || !errors.Is(m.result.Err, ErrTimeout) || m.ended.Sub(start) != want {
				t.Errorf("client %d: result %+v after %v, want a timeout after %v", i+1, m.result, m.ended.Sub(start), want)
			}
		}
		c := s.Counters()
		if c.Done[TimedOut].Load() != 2 || c.InFlight.Load()+c.Waiting.Load() != 0 {
			t.Errorf("counted: %d timeouts, %d in flight, %d waiting, want 2, 0, 0", c.Done[TimedOut].Load(), c.InFlight.Load(), c.Waiting.Load())
		}
	})
}

// TestAbort ends a handshake behind each of the client's writes, and in front of the first.
// No goroutine is left: synctest would say so.
func TestAbort(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		whole := false
		for step := 0; !whole; step++ {
			if step > 10 {
				t.Fatal("a handshake with ten writes of the client")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil)
				raw, l := s.dial(0)
				config := s.clientConfig()
				config.MaxVersion = version
				err := tls.Client(&breaks{raw, step}, config).Handshake()
				synctest.Wait()
				_ = raw.Close()
				synctest.Wait()
				whole = err == nil
				c := s.Counters()
				begun := step > 0
				if n := c.Done[OK].Load() + c.Done[Aborted].Load(); begun != (n == 1) {
					t.Errorf("version %x, %d writes: %d handshakes are counted as ok or aborted", version, step, n)
				}
				if begun {
					if r := <-l.over; !whole && !errors.Is(r.Err, ErrAborted) {
						t.Errorf("version %x, %d writes: the result is %v, want %v", version, step, r.Err, ErrAborted)
					}
				}
				if n := c.InFlight.Load(); n != 0 || len(s.computing.slots) != 0 {
					t.Errorf("version %x, %d writes: %d in flight, %d at work, want none", version, step, n, len(s.computing.slots))
				}
			})
		}
	}
}

// breaks is a client's connection that is gone behind some writes.
type breaks struct {
	net.Conn
	left int
}

func (b *breaks) Write(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrClosedPipe
	}
	b.left--
	return b.Conn.Write(p)
}

func TestAbortTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(s *site) { s.settings.Handshakes = 1 })
		hello := helloOf(t, s.clientConfig())
		flying, waiting := s.starts("192.0.2.1", hello), s.starts("192.0.2.2", hello)
		synctest.Wait()
		for range 2 {
			waiting.Abort()
			if waiting.in != nil || s.Counters().Waiting.Load() != 0 {
				t.Errorf("the waiting one holds %d bytes, %d are waiting, want none", len(waiting.in), s.Counters().Waiting.Load())
			}
			flying.Abort()
			synctest.Wait()
		}
		if flying.result == nil || !errors.Is(flying.result.Err, ErrAborted) || waiting.result != nil {
			t.Errorf("in flight: %+v, waiting: %+v, want %v and no result", flying.result, waiting.result, ErrAborted)
		}
		if err := errors.Join(flying.Feed(hello), waiting.Feed(hello)); err != nil || flying.in != nil || waiting.in != nil {
			t.Errorf("fed after the end: %v, kept %d and %d bytes", err, len(flying.in), len(waiting.in))
		}
		if n := s.Counters().Done[Aborted].Load(); n != 2 {
			t.Errorf("%d are counted as aborted, want 2", n)
		}
	})
}

// TestComputing is shared by ports, and given back by whoever waits for a client.
func TestComputing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front := newSite(t, nil)
		admin := *front
		admin.Port = NewPort(front.load(), front.computing)
		hello := helloOf(t, front.clientConfig())
		n := cap(front.computing.slots)
		for range n {
			front.computing.slots <- struct{}{}
		}
		clients := []*mute{front.starts("192.0.2.1", hello), admin.starts("192.0.2.1", hello)}
		synctest.Wait()
		for i, m := range clients {
			if len(m.sent) != 0 {
				t.Errorf("client %d was answered while others computed", i)
			}
		}
		front.computing.give() // one computes, waits for its client, and lets the other compute
		synctest.Wait()
		for i, m := range clients {
			if len(m.sent) == 0 {
				t.Errorf("client %d was not answered: %d of %d are at work", i, len(front.computing.slots), n)
			}
		}
		for range n - 1 {
			front.computing.give()
		}
		time.Sleep(shakeTime)
		synctest.Wait()
		if n := len(front.computing.slots); n != 0 {
			t.Errorf("%d are at work after the end, want none", n)
		}
	})
}

// TestNoTimeoutWhileOthersCompute: a handshake that gets no turn is not its client's fault.
func TestNoTimeoutWhileOthersCompute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		for range cap(s.computing.slots) {
			s.computing.slots <- struct{}{}
		}
		m := s.starts("192.0.2.1", helloOf(t, s.clientConfig()))
		time.Sleep(10 * shakeTime)
		synctest.Wait()
		if m.result != nil {
			t.Fatalf("the result is %+v before it has computed", m.result)
		}
		for range cap(s.computing.slots) {
			<-s.computing.slots
		}
		synctest.Wait()
		if len(m.sent) == 0 {
			t.Error("it has had its turn, and has sent nothing")
		}
		time.Sleep(shakeTime)
		synctest.Wait()
		if m.result == nil || !errors.Is(m.result.Err, ErrTimeout) {
			t.Errorf("the result is %+v, want a timeout", m.result)
		}
	})
}

// panics is a client whose connection fails in a way that nobody expects.
type panics struct{ mute }

func (*panics) HandshakeSends([]byte) { panic("injected") }

func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		p := new(panics)
		if _, err := s.Start(localhost, helloOf(t, s.clientConfig()), p); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.result == nil {
			t.Fatal("there is no result")
		}
		got, ok := errors.AsType[*Panic](p.result.Err)
		if !ok || got.Value != "injected" || !bytes.Contains(got.Stack, []byte("HandshakeSends")) {
			t.Errorf("the result is %v, want a panic with its stack", p.result.Err)
		}
		if n := s.Counters().InFlight.Load(); n != 0 || len(s.computing.slots) != 0 {
			t.Errorf("%d in flight, %d at work, want none", n, len(s.computing.slots))
		}
	})
}
