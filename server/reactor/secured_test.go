package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"

	"icomet/internal/selfsigned"
	"icomet/server/access"
	"icomet/server/secure"
)

// newPort makes a port with a certificate of its own, and the configuration of its clients.
func newPort(t *testing.T) (*secure.Port, *tls.Config) {
	t.Helper()
	ca, err := selfsigned.New("reactor test")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Server("reactor.test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := issued.Write(t.TempDir(), "server")
	if err != nil {
		t.Fatal(err)
	}
	m, err := secure.Load(secure.Settings{
		Certificates: []secure.Pair{{Certificate: certificate, Key: key}}, MinVersion: tls.VersionTLS12, Handshakes: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	return secure.NewPort(m, secure.NewComputing(1)), &tls.Config{RootCAs: ca.Pool(), ServerName: "reactor.test"}
}

// dialSecured connects to the front port and does the handshake.
func (s *testReactor) dialSecured(config *tls.Config) *client {
	s.t.Helper()
	c := dial(s.t, s.front)
	if err := c.SecureWith(config); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// silentHello connects, says hello and nothing more, until the handshake is in flight.
func (s *testReactor) silentHello(port *secure.Port, config *tls.Config) (*client, *secured) {
	s.t.Helper()
	c := dial(s.t, s.front)
	hello, server := net.Pipe()
	go func() { _ = tls.Client(hello, config).Handshake() }()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	server.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	c.send(string(b[:n]))
	var found *secured
	s.checkFor(func() error {
		s.onAllLoops(func(l *loop) {
			for _, slot := range l.wheel.slots {
				for c := slot; c != nil; c = c.timeNext {
					if c.isTLS() && c.shaking() && c.secured().busy != nil && c.secured().busy.shake != nil {
						found = c.secured()
					}
				}
			}
		})
		if found == nil || port.Counters().InFlight.Load() == 0 {
			return errors.New("the handshake has not begun")
		}
		return nil
	})
	return c, found
}

// TestPanicInAHandshake is logged with the stack of its goroutine, counted, and costs its
// connection alone, whether that is still there or not.
func TestPanicInAHandshake(t *testing.T) {
	t.Parallel()
	port, config := newPort(t)
	s := startWith(t, 1, nil, subscribers(), false, port)
	other := s.dialSecured(config)
	other.get("/stream?cname=a&seq=1").head()
	c, shaking := s.silentHello(port, config)
	shaking.HandshakeOver(secure.Result{Err: &secure.Panic{Value: "injected in a handshake", Stack: []byte("its stack")}})
	s.waitPanics(1)
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "injected in a handshake") || !strings.Contains(log, "its stack") {
		t.Errorf("the log lacks the panic or its stack:\n%s", log)
	}
	_ = c.Close()
	shaking.HandshakeOver(secure.Result{Err: &secure.Panic{Value: "too late", Stack: []byte("another stack")}})
	s.checkFor(func() error {
		if n := s.Panics(); n != 2 {
			return fmt.Errorf("%d panics are counted, want the second, whose connection is gone, too", n)
		}
		return nil
	})
	s.publish("a", "x")
	if got := other.chunk(); !strings.Contains(got, `"seq":1,"content":"x"`) {
		t.Errorf("another subscriber gets %q", got)
	}
	_ = other.Close()
	s.checkFor(func() error {
		if n := port.Counters().InFlight.Load(); n != 0 {
			return fmt.Errorf("%d handshakes are in flight", n)
		}
		return s.checkIdle()
	})
}

// TestPanicBehindAHandshake: a request that came with the end of its handshake panics. What
// the loop was called for in the same turn, by other handshakes too, is not lost.
func TestPanicBehindAHandshake(t *testing.T) {
	t.Parallel()
	port, config := newPort(t)
	s := startWith(t, 1, nil, subscribers(), false, port)
	c, shaking := s.silentHello(port, config)
	defer c.Close()
	called := false
	s.onAllLoops(func(*loop) { // so that all of it is done in one turn
		shaking.post(func() { panic("injected behind a handshake") })
		shaking.post(func() { called = true })
	})
	s.waitPanics(1)
	s.onAllLoops(func(*loop) {
		if !called {
			t.Error("what another handshake has said is lost")
		}
	})
}

// TestHelloBehindProxyHeader: a part of a hello that comes with the PROXY header has the time
// of a hello, not that of the header.
func TestHelloBehindProxyHeader(t *testing.T) {
	t.Parallel()
	port, _ := newPort(t)
	set := testSettings()
	set.RequestTimeout = time.Minute
	var err error
	if set.FrontTrust, err = access.NewTrust([]string{"127.0.0.0/8"}, true); err != nil {
		t.Fatal(err)
	}
	r, _ := bareReactor(t, set, 1, subscribers(), true, port)
	f := NewFake(r)
	c := f.Connect(r.FrontAddr())
	c.Says([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\x16\x03"))
	conn := c.context.(*Conn)
	if due, want := f.loop.wheel.due(conn), f.loop.now+helloTicks; conn.slot == noSlot || due > want {
		t.Errorf("it is looked at in tick %d, want %d", due, want)
	}
	f.loop.wheel.remove(conn)
}

// TestCutSaysNoGoodbye: close_notify says that all has been sent. Behind a response that is
// cut there is none, since where its length is not known that would be taken for its end.
func TestCutSaysNoGoodbye(t *testing.T) {
	t.Parallel()
	port, config := newPort(t)
	s := startWith(t, 1, nil, subscribers(), false, port)
	for reason, want := range map[CloseReason]bool{
		ReasonDrain: true, ReasonChannelClosed: true, ReasonSlowConsumer: false, ReasonUnavailable: false, ReasonFlush: false,
	} {
		c := s.dialSecured(config)
		c.get("/stream?cname=a&seq=1").head()
		s.onAllLoops(func(l *loop) {
			for _, conn := range l.conns() {
				l.doom(conn, reason)
			}
		})
		_, _ = io.Copy(io.Discard, c.R)
		if c.Alerted() != want {
			t.Errorf("%v: close_notify %v, want %v", reason, c.Alerted(), want)
		}
	}
}

// TestEndedHandshakeGivesItsPlaceBack at once, though its connection lingers.
func TestEndedHandshakeGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	port, config := newPort(t)
	s := startWith(t, 1, nil, subscribers(), false, port)
	c, shaking := s.silentHello(port, config)
	defer c.Close()
	s.onAllLoops(func(*loop) {
		if shaking.beginDrain(ReasonDrain); shaking.busy != nil {
			t.Errorf("it has kept %+v", shaking.busy)
		}
	})
	s.checkFor(func() error {
		if n := port.Counters().InFlight.Load(); n != 0 {
			return fmt.Errorf("%d handshakes are in flight", n)
		}
		return nil
	})
}

// TestStrangeAddress: a connection that did not come in on an address of ours has no rules
// that it is known to go by.
func TestStrangeAddress(t *testing.T) {
	t.Parallel()
	port, _ := newPort(t)
	r, _ := bareReactor(t, testSettings(), 1, subscribers(), true, port)
	f := NewFake(r)
	c := &FakeClient{fake: f, fd: -1, local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
	if got := r.opened(c); got != gnet.Close || c.context != nil || f.loop.stats.RefusedAtOpen.Load() != 1 {
		t.Errorf("%v, %v, %d refused", got, c.context, f.loop.stats.RefusedAtOpen.Load())
	}
}
