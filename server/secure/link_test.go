package secure

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"icomet/tlsrecord"
)

const applicationData = 23 // the type of such records

var localhost = netip.MustParseAddr("127.0.0.1")

// site is a port with what its clients need to know.
type site struct {
	*Port
	t         testing.TB
	authority *authority
	settings  Settings
}

// newSite makes a port with a certificate for "a.test".
func newSite(t testing.TB, edit func(*site)) *site {
	t.Helper()
	s := &site{t: t, authority: newAuthority()}
	s.settings = Settings{MinVersion: tls.VersionTLS12, Handshakes: 256, Certificates: []Pair{s.authority.pair(t, ecdsaKey(), "a.test")}}
	if edit != nil {
		edit(s)
	}
	s.Port = NewPort(s.load(), NewComputing(2))
	return s
}

func (s *site) load() *Material {
	s.t.Helper()
	m, err := Load(s.settings)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *site) clientConfig() *tls.Config {
	return &tls.Config{RootCAs: s.authority.pool(), ServerName: "a.test"}
}

// link plays the reactor's part for one connection: an event loop that feeds the handshake,
// writes what it sends, and then answers application data with the same.
type link struct {
	port  *Port
	wire  net.Conn
	piece int // bytes of each event; 0: as they come

	calls  chan func() // of the event loop
	writes chan []byte // what the system would queue, since a net.Pipe queues nothing
	quit   chan struct{}
	over   chan Result // its copy for the test

	// The event loop's.
	in           []byte
	shake        *Handshake
	secured      bool
	state        tlsrecord.State
	opens, seals *tlsrecord.Cipher
	err          error
	closing      bool
}

// dial connects a client to the port. The caller closes what it gets.
func (s *site) dial(piece int) (net.Conn, *link) {
	client, wire := net.Pipe()
	_ = client.SetDeadline(time.Now().Add(30 * time.Second)) // or a fault would hang the test
	l := &link{port: s.Port, wire: wire, piece: piece, calls: make(chan func(), 256), writes: make(chan []byte, 256), quit: make(chan struct{}), over: make(chan Result, 1)}
	go l.read()
	go l.loop()
	go l.write()
	return client, l
}

func (l *link) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := l.wire.Read(buf)
		for b := bytes.Clone(buf[:n]); len(b) > 0; {
			size := len(b)
			if l.piece > 0 {
				size = min(size, l.piece)
			}
			piece := b[:size]
			b = b[size:]
			l.post(func() { l.arrive(piece) })
		}
		if err != nil {
			l.post(func() { l.closing = true })
			return
		}
	}
}

func (l *link) post(f func()) {
	select {
	case l.calls <- f:
	case <-l.quit:
	}
}

func (l *link) loop() {
	for !l.closing {
		(<-l.calls)()
	}
	if l.shake != nil {
		l.shake.Abort()
	}
	close(l.writes)
	close(l.quit)
}

func (l *link) write() {
	for b := range l.writes {
		_, _ = l.wire.Write(b)
	}
	_ = l.wire.Close()
}

func (l *link) arrive(b []byte) {
	switch {
	case l.secured:
		l.open(b)
		return
	case l.shake != nil:
		if l.err = l.shake.Feed(b); l.err != nil {
			l.closing = true
		}
		return
	}
	l.in = append(l.in, b...)
	if recordLength(l.in) > 0 {
		if l.shake, l.err = l.port.Start(localhost, l.in, l); l.err != nil {
			l.closing = true
		}
		l.in = nil
	}
}

func (l *link) HandshakeSends(b []byte) { l.post(func() { l.writes <- b }) }

func (l *link) HandshakeOver(r Result) {
	l.post(func() {
		if r.Err != nil {
			l.closing = true
		} else {
			l.secured, l.state = true, r.State
			l.opens, l.seals = l.state.Opener(), l.state.Sealer()
			l.open(l.shake.Rest())
		}
	})
	l.over <- r
}

func (l *link) open(b []byte) {
	l.in = append(l.in, b...)
	for {
		n, err := tlsrecord.RecordLength(l.in)
		if err == nil && (n == 0 || n > len(l.in)) {
			return
		}
		var p []byte
		if err == nil {
			p, err = l.state.Open(l.opens, l.in[:n])
		}
		if err != nil {
			l.err, l.closing = err, true
			return
		}
		out, err := l.state.Seal(l.seals, nil, applicationData, p)
		if err != nil {
			l.err, l.closing = err, true
			return
		}
		l.writes <- out
		l.in = l.in[n:]
	}
}

// result waits for the end of the handshake.
func (l *link) result(t testing.TB) Result {
	t.Helper()
	select {
	case r := <-l.over:
		return r
	case <-time.After(20 * time.Second):
		t.Fatalf("the handshake is not over after 20 s: in flight %d, waiting %d",
			l.port.counters.InFlight.Load(), l.port.counters.Waiting.Load())
		panic("not reached")
	}
}

// echo sends data both ways, some of it in several records.
func echo(c net.Conn) error {
	for i := range 5 {
		want := strings.Repeat(fmt.Sprintf("message %d ", i), 1+i*1000)
		if _, err := c.Write([]byte(want)); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if err := expect(c, want); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

func expect(c net.Conn, want string) error {
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		if err != nil {
			return fmt.Errorf("%d of %d bytes came: %w", n, len(got), err)
		}
		n += m
	}
	if string(got) != want {
		return fmt.Errorf("got %.40q, want %.40q", got, want)
	}
	return nil
}

// connect does a whole handshake, and sends data after it.
func (s *site) connect(config *tls.Config) (tls.ConnectionState, Result) {
	s.t.Helper()
	return s.connectInPieces(config, 0)
}

func (s *site) connectInPieces(config *tls.Config, piece int) (tls.ConnectionState, Result) {
	s.t.Helper()
	raw, l := s.dial(piece)
	c := tls.Client(raw, config)
	defer raw.Close()
	if err := c.Handshake(); err != nil {
		s.t.Fatalf("the client's handshake: %v; the server's: %v", err, l.result(s.t).Err)
	}
	if err := echo(c); err != nil {
		s.t.Fatalf("data behind the handshake: %v; the server's handshake: %v", err, l.result(s.t).Err)
	}
	r := l.result(s.t)
	state := c.ConnectionState()
	if r.Err != nil || r.Version != state.Version || r.Suite != state.CipherSuite || r.Resumed != state.DidResume {
		s.t.Errorf("the result is %+v, the client's state has version %x, suite %x, resumed %v", r, state.Version, state.CipherSuite, state.DidResume)
	}
	return state, r
}

// refuse does a handshake that has to fail, and returns what both sides say.
func (s *site) refuse(config *tls.Config) (client, server error) {
	s.t.Helper()
	raw, l := s.dial(0)
	defer raw.Close()
	c := tls.Client(raw, config)
	if client = c.Handshake(); client == nil { // TLS 1.3: the refusal comes behind it
		_, client = c.Read(make([]byte, 1))
	}
	server = l.result(s.t).Err
	if client == nil || server == nil {
		s.t.Fatalf("a handshake that was to be refused: the client says %v, the server %v", client, server)
	}
	return client, server
}
