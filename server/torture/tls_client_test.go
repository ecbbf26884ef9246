package torture

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icomet/server/servertest"
	"icomet/tlsrecord"
)

// startTLS runs a server whose front port speaks TLS of both versions, and whose admin port
// is plain.
func startTLS(t testing.TB, binary func() (string, error), env ...string) *daemon {
	t.Helper()
	return start(t, binary, "", append([]string{
		"FRONT_TLS_CERTIFICATES=" + servertest.Certificate(), "FRONT_TLS_MIN_VERSION=1.2",
	}, env...)...)
}

// tlsVersions are those that the server speaks.
var tlsVersions = []uint16{tls.VersionTLS13, tls.VersionTLS12}

func clientTLS(version uint16) *tls.Config {
	c := servertest.ClientTLS()
	c.MinVersion, c.MaxVersion = version, version
	return c
}

// dialFrom connects from an address of this machine ("": any), with a receive buffer of
// rcvbuf bytes (0: as usual).
func dialFrom(from, addr string, rcvbuf int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	d.Control = func(_, _ string, rc syscall.RawConn) (err error) {
		_ = rc.Control(func(fd uintptr) {
			if rcvbuf > 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf)
			}
		})
		return err
	}
	return d.Dial("tcp", addr)
}

// secureOn does the handshake on nc, which it closes when that fails.
func secureOn(nc net.Conn, config *tls.Config) (*tls.Conn, error) {
	c := tls.Client(&servertest.Records{Conn: nc}, config)
	_ = nc.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		nc.Close()
		return nil, err
	}
	_ = nc.SetDeadline(time.Time{})
	return c, nil
}

// subscribeTLS opens a stream over TLS.
func subscribeTLS(from, addr, cname string, config *tls.Config) (*stream, error) {
	nc, err := dialFrom(from, addr, 0)
	if err != nil {
		return nil, err
	}
	c, err := secureOn(nc, config)
	if err != nil {
		return nil, err
	}
	s := &stream{nc: c, kind: "stream"}
	if err := s.ask(cname, 1); err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

// newProbeTLS is newProbe with a subscriber over TLS.
func (d *daemon) newProbeTLS() *probe {
	d.t.Helper()
	p := &probe{d: d, cname: "healthy"}
	var err error
	if p.s, err = subscribeTLS("", d.front, p.cname, clientTLS(tls.VersionTLS13)); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { p.s.nc.Close() })
	return p
}

// pingTLS is a newcomer that asks for something small.
func pingTLS(from, addr string, config *tls.Config) error {
	nc, err := dialFrom(from, addr, 0)
	if err != nil {
		return err
	}
	c, err := secureOn(nc, config)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, pingRequest); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("%.60q, %w", answer, errors.Join(err))
	}
	return nil
}

const (
	pingRequest   = "GET /ping?cb= HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	streamRequest = "GET /stream?cname=storm&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
)

// helloOf is the first record of a client.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	raw, wire := net.Pipe()
	go func() { _ = tls.Client(raw, config).Handshake() }()
	b := make([]byte, 20_000)
	n, err := wire.Read(b)
	wire.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// calm is what the server holds when no hostile client is there.
type calm struct {
	d                                         *daemon
	front, subscribers, descriptors, routines int
}

func (d *daemon) calm() calm {
	d.t.Helper()
	_ = d.stats() // opens the administrator's connection
	s := d.stats()
	return calm{d, s.Connections.Front, s.Subscribers, d.descriptors(), s.Runtime.Goroutines}
}

// back waits until nothing of them is left.
func (c *calm) back() {
	c.d.t.Helper()
	c.d.waitStats(patience, func(s stats) error {
		front := s.TLS["front"]
		if n := c.d.descriptors(); n > c.descriptors || s.Runtime.Goroutines > c.routines || s.Panics > 0 || front.InFlight != 0 || front.Waiting != 0 ||
			s.Connections.Front != c.front || s.Subscribers != c.subscribers {
			return fmt.Errorf("%d descriptors, %d goroutines, want %d and %d; %d panics; handshakes: %d in flight, %d waiting; %d connections, %d subscribers, want %d and %d",
				n, s.Runtime.Goroutines, c.descriptors, c.routines, s.Panics, front.InFlight, front.Waiting, s.Connections.Front, s.Subscribers, c.front, c.subscribers)
		}
		return nil
	})
	if err := pingTLS("", c.d.front, clientTLS(tls.VersionTLS13)); err != nil {
		c.d.t.Errorf("a newcomer afterwards: %v", err)
	}
}

// intruder is a client that has done its handshake and makes its records itself.
type intruder struct {
	*tls.Conn // reads; what it would write has other sequence numbers
	nc        net.Conn
	version   uint16
	seal      func(typ byte, p string) []byte // the next record
	update    func()                          // TLS 1.3: goes on to the next key
}

// intrude does the handshake. With TLS 1.2 the suite is AES-128-GCM.
func intrude(addr string, version uint16) (*intruder, error) {
	nc, err := dialFrom("", addr, 0)
	if err != nil {
		return nil, err
	}
	config, keys := clientTLS(version), new(bytes.Buffer)
	config.KeyLogWriter = keys
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	heard := &listening{Conn: nc}
	c, err := secureOn(heard, config)
	if err != nil {
		return nil, err
	}
	in := &intruder{Conn: c, nc: nc, version: version}
	if version == tls.VersionTLS12 {
		err = in.useTLS12(keys.String(), heard.first)
	} else {
		err = in.useTLS13(keys.String(), c.ConnectionState().CipherSuite)
	}
	return in, err
}

// listening remembers what a connection has begun with: the server's random.
type listening struct {
	net.Conn
	first []byte
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if len(l.first) < 100 {
		l.first = append(l.first, p[:n]...)
	}
	return n, err
}

// secretIn finds a secret in a key log, and the client's random.
func secretIn(log, label string) (random, secret []byte, err error) {
	for line := range bytes.Lines([]byte(log)) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == label {
			random, _ = hex.DecodeString(string(fields[1]))
			secret, err = hex.DecodeString(string(fields[2]))
			return random, secret, err
		}
	}
	return nil, nil, fmt.Errorf("%s is not in the key log", label)
}

// useTLS13 takes the record layer of a server with the two secrets exchanged.
func (in *intruder) useTLS13(log string, suite uint16) error {
	_, client, err := secretIn(log, "CLIENT_TRAFFIC_SECRET_0")
	if err != nil {
		return err
	}
	_, server, err := secretIn(log, "SERVER_TRAFFIC_SECRET_0")
	if err != nil {
		return err
	}
	var state tlsrecord.State
	var sealer *tlsrecord.Cipher
	begin := func() {
		if state, err = tlsrecord.TLS13(suite, server, client, 0); err == nil {
			sealer = state.Sealer()
		}
	}
	in.seal = func(typ byte, p string) []byte {
		if p == "" { // State seals none of these, but padding behind a type: RFC 8446 5.4
			p, typ = string(typ), 0
		}
		b, _ := state.Seal(sealer, nil, typ, []byte(p)) // no error with TLS 1.3
		return b
	}
	in.update = func() { // RFC 8446 7.2
		info := append([]byte{0, byte(len(client)), 17}, "tls13 traffic upd\x00"...)
		hash := sha256.New
		if len(client) == sha512.Size384 {
			hash = sha512.New384
		}
		client, _ = hkdf.Expand(hash, client, string(info), len(client))
		begin()
	}
	begin()
	return err
}

// useTLS12 makes the client's key of AES-128-GCM: RFC 5246 5, 6.3, 6.2.3.3; RFC 5288 3.
func (in *intruder) useTLS12(log string, heard []byte) error {
	random, master, err := secretIn(log, "CLIENT_RANDOM")
	if err != nil {
		return err
	}
	prf := func(message []byte) []byte {
		h := hmac.New(sha256.New, master)
		h.Write(message)
		return h.Sum(nil)
	}
	seed := slices.Concat([]byte("key expansion"), heard[11:11+32], random)
	a1 := prf(seed)
	block := append(prf(slices.Concat(a1, seed)), prf(slices.Concat(prf(a1), seed))...)
	key, salt, seq := block[:16], block[32:36], uint64(1)
	c, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCM(c)
	in.seal = func(typ byte, p string) []byte {
		nonce := binary.BigEndian.AppendUint64(nil, seq)
		data := append(slices.Clone(nonce), typ, 3, 3, byte(len(p)>>8), byte(len(p)))
		n := len(nonce) + len(p) + aead.Overhead()
		seq++
		return aead.Seal(append([]byte{typ, 3, 3, byte(n >> 8), byte(n)}, nonce...), slices.Concat(salt, nonce), []byte(p), data)
	}
	return err
}
