package tlsrecord

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for linkname
)

// crypto/tls does not let a configuration choose the suite of TLS 1.3; tests of this
// package choose it here, one after the other.
//
//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

//go:linkname defaultCipherSuitesTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var defaultCipherSuitesTLS13NoAES []uint16

const patience = 20 * time.Second

var certificates = sync.OnceValues(func() ([]tls.Certificate, error) {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().Add(time.Hour)}
	der1, err3 := x509.CreateCertificate(rand.Reader, template, template, ec.Public(), ec)
	der2, err4 := x509.CreateCertificate(rand.Reader, template, template, rs.Public(), rs)
	return []tls.Certificate{{Certificate: [][]byte{der1}, PrivateKey: ec}, {Certificate: [][]byte{der2}, PrivateKey: rs}},
		errors.Join(err1, err2, err3, err4)
})

// tap is the server's side during the handshake. It hands out one record at a time, so that
// crypto/tls reads nothing that is meant for the record layer.
type tap struct {
	net.Conn
	pending, written []byte
}

func (c *tap) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		record, err := readRecord(c.Conn)
		if err != nil {
			return 0, err
		}
		c.pending = record
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

func (c *tap) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	return c.Conn.Write(p)
}

func readRecord(r io.Reader) ([]byte, error) {
	record := make([]byte, header)
	if _, err := io.ReadFull(r, record); err != nil {
		return nil, err
	}
	record = append(record, make([]byte, int(record[3])<<8|int(record[4]))...)
	_, err := io.ReadFull(r, record[header:])
	return record, err
}

// session is the server's side after the handshake.
type session struct {
	t          *testing.T
	conn       net.Conn
	state      State
	seal, open *Cipher
}

func (s *session) send(records []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(records); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) write(p []byte) {
	s.t.Helper()
	dst, err := s.state.Seal(s.seal, nil, applicationData, p)
	if err != nil {
		s.t.Fatal(err)
	}
	if over := len(dst) - len(p); over > Overhead(len(p)) {
		s.t.Errorf("Seal of %d bytes appended %d more, Overhead says %d", len(p), over, Overhead(len(p)))
	}
	s.send(dst)
}

// record reads and opens one.
func (s *session) record() ([]byte, error) {
	s.t.Helper()
	record, err := readRecord(s.conn)
	if err != nil {
		s.t.Fatalf("waiting for a record: %v; state: in %d, out %d", err, s.state.in.seq, s.state.out.seq)
	}
	if n, err := RecordLength(record); n != len(record) || err != nil {
		s.t.Fatalf("RecordLength: %d, %v; want %d", n, err, len(record))
	}
	return s.state.Open(s.open, record)
}

func (s *session) expect(want []byte) {
	s.t.Helper()
	var got []byte
	for len(got) < len(want) {
		p, err := s.record()
		if err != nil {
			s.t.Fatalf("%v after %d of %d bytes", err, len(got), len(want))
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		s.t.Errorf("%d bytes of the client are not what it sent", len(got))
	}
}

// accept does the handshake of the server by crypto/tls and takes the connection over.
func accept(t *testing.T, raw net.Conn, config *tls.Config) *session {
	t.Helper()
	certs, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	tickets := uint64(0)
	config.Certificates, config.KeyLogWriter = certs, &log
	config.WrapSession = func(c tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		tickets++
		return config.EncryptTicket(c, s)
	}
	conn := &tap{Conn: raw}
	server := tls.Server(conn, config)
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{}
	var clientRandom []byte
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		clientRandom, _ = hex.DecodeString(f[1])
		secrets[f[0]], _ = hex.DecodeString(f[2])
	}
	s := &session{t: t, conn: raw}
	if id := server.ConnectionState().CipherSuite; server.ConnectionState().Version == tls.VersionTLS13 {
		s.state, err = TLS13(id, secrets["CLIENT_TRAFFIC_SECRET_0"], secrets["SERVER_TRAFFIC_SECRET_0"], tickets)
	} else {
		s.state, err = TLS12(id, secrets["CLIENT_RANDOM"], clientRandom, conn.written[11:][:32])
	}
	if err != nil {
		t.Fatal(err)
	}
	s.seal, s.open = s.state.Sealer(), s.state.Opener()
	return s
}

// pair gives both ends of a connection on the loopback.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
	}
	return client, server
}

// connect makes a client of crypto/tls and the session that serves it.
func connect(t *testing.T, id uint16, cache tls.ClientSessionCache) (*tls.Conn, *session) {
	t.Helper()
	old, oldNoAES := defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES
	defer func() { defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES = old, oldNoAES }()
	version := uint16(tls.VersionTLS12)
	if suites[id].tls13 {
		version = tls.VersionTLS13
		defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES = []uint16{id}, []uint16{id}
	}
	near, far := pair(t)
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true, ServerName: "test", CipherSuites: []uint16{id},
		MinVersion: version, MaxVersion: version, ClientSessionCache: cache})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	s := accept(t, far, &tls.Config{SessionTicketsDisabled: version == tls.VersionTLS12})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := client.ConnectionState().CipherSuite; got != id {
		t.Fatalf("suite %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(id))
	}
	return client, s
}

// eachSuite runs f for every suite.
func eachSuite(t *testing.T, f func(t *testing.T, id uint16)) {
	t.Helper()
	for id := range suites {
		t.Run(tls.CipherSuiteName(id), func(t *testing.T) { f(t, id) })
	}
}

func read(t *testing.T, client *tls.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the client got %d bytes of %d, %v; equal: %v", n, len(want), err, bytes.Equal(got, want))
	}
}

func random(n int) []byte {
	p := make([]byte, n)
	rand.Read(p)
	return p
}

func TestOracle(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		client, s := connect(t, id, nil)
		for _, n := range []int{1, 100, 1 << 14, 1<<14 + 1, 50_000} {
			p := random(n)
			if _, err := client.Write(p); err != nil {
				t.Fatal(err)
			}
			s.expect(p)
			s.write(p)
			read(t, client, p)
		}
		client.CloseWrite()
		if _, err := s.record(); err != io.EOF {
			t.Errorf("close_notify of the client gives %v", err)
		}
		s.write([]byte("late"))
		read(t, client, []byte("late"))
		s.send(s.state.AppendAlert(s.seal, nil, CloseNotify))
		if n, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("close_notify gives the client %d, %v", n, err)
		}
	})
}

func TestOracleAlert(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		client, s := connect(t, id, nil)
		s.send(s.state.AppendAlert(s.seal, nil, RecordOverflow))
		if _, err := client.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "record overflow") {
			t.Errorf("the client reads %v", err)
		}
		client, s = connect(t, id, nil)
		record, _ := s.state.Seal(s.seal, nil, applicationData, []byte("x"))
		record[len(record)-1]++
		s.send(record)
		client.Read(make([]byte, 1))
		if _, err := s.record(); err != PeerAlert(BadRecordMAC) {
			t.Errorf("bad_record_mac of the client gives %v", err)
		}
	})
}

// The server has sealed its ticket when the record layer takes over, and a resumed
// connection works too.
func TestOracleTickets(t *testing.T) {
	near, far := pair(t)
	server := &tls.Config{}
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 2 {
		c := tls.Client(near, client)
		done := make(chan error, 1)
		go func() { done <- c.Handshake() }()
		s := accept(t, far, server)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.state.out.seq != 1 {
			t.Errorf("%d tickets, want 1", s.state.out.seq)
		}
		s.write([]byte("pushed"))
		read(t, c, []byte("pushed"))
		if resumed := c.ConnectionState().DidResume; resumed != (i == 1) {
			t.Errorf("connection %d: resumed %v", i, resumed)
		}
		near, far = pair(t)
	}
}

// Go's client follows our KeyUpdates, and answers one that asks for it.
func TestOracleKeyUpdate(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		client, s := connect(t, id, nil)
		if !s.state.suite.tls13 {
			if dst := s.state.AppendKeyUpdate(s.seal, []byte("x")); string(dst) != "x" {
				t.Errorf("KeyUpdate with TLS 1.2: %x", dst)
			}
			return
		}
		for range 3 {
			old := s.state
			s.send(s.state.AppendKeyUpdate(s.seal, nil))
			if s.state.out.secret == old.out.secret || s.state.out.seq != 0 {
				t.Fatal("the key is the old one")
			}
			s.write([]byte("after"))
			read(t, client, []byte("after"))
		}
		before := s.state.in.secret
		s.send(s.state.seal(s.seal, nil, handshake, []byte(keyUpdate+"\x01")))
		s.state.update(&s.state.out)
		s.write([]byte("asked"))
		read(t, client, []byte("asked"))
		if p, err := s.record(); len(p) > 0 || err != nil || s.state.in.secret == before {
			t.Fatalf("instead of a KeyUpdate: %q, %v", p, err)
		}
		if s.state.owed {
			t.Error("an answer to the answer is owed")
		}
		p := random(20_000)
		client.Write(p)
		s.expect(p)
	})
}

// Every suite that crypto/tls thinks secure and has an AEAD for is known.
func TestSuites(t *testing.T) {
	var want, got []uint16
	for _, s := range tls.CipherSuites() {
		if !strings.Contains(s.Name, "CBC") && !strings.Contains(s.Name, "_CBC_") && !strings.HasSuffix(s.Name, "_SHA") {
			want = append(want, s.ID)
		}
	}
	for id := range suites {
		got = append(got, id)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("suites %x, want %x", got, want)
	}
}
