package secure

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSuites does a handshake with each version and suite that a client of Go can choose.
func TestSuites(t *testing.T) {
	t.Parallel()
	keys := map[string]crypto.Signer{"ECDSA": ecdsaKey(), "RSA": rsaKey(), "Ed25519": ed25519Key()}
	for name, key := range keys {
		s := newSite(t, func(s *site) { s.settings.Certificates[0] = s.authority.pair(t, key, "a.test") })
		if _, r := s.connect(s.clientConfig()); r.Version != tls.VersionTLS13 {
			t.Errorf("%s: version %x, want TLS 1.3", name, r.Version)
		}
		for _, suite := range suites12 {
			if strings.Contains(tls.CipherSuiteName(suite), "ECDSA") == (name == "RSA") {
				continue
			}
			config := s.clientConfig()
			config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{suite}
			if _, r := s.connect(config); r.Version != tls.VersionTLS12 || r.Suite != suite {
				t.Errorf("%s: version %x, suite %s, want TLS 1.2 with %s", name, r.Version, tls.CipherSuiteName(r.Suite), tls.CipherSuiteName(suite))
			}
		}
	}
}

func TestNothingInCommon(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	cases := map[string]func(c *tls.Config){
		"protocol version not supported": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"handshake failure": func(c *tls.Config) { // CBC, and a key exchange without forward secrecy
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
		"no application protocol": func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	}
	for want, edit := range cases {
		config := s.clientConfig()
		edit(config)
		if client, server := s.refuse(config); !strings.Contains(client.Error(), want) {
			t.Errorf("the client was told %q, want %q; the server says %q", client, want, server)
		}
	}
	s.settings.MinVersion = tls.VersionTLS13
	s.Configure(s.load())
	config := s.clientConfig()
	config.MaxVersion = tls.VersionTLS12
	if client, _ := s.refuse(config); !strings.Contains(client.Error(), "protocol version not supported") {
		t.Errorf("TLS 1.2 where 1.3 is asked for: %v", client)
	}
	if got := s.Counters().Done[Failed].Load(); got != uint64(len(cases)+1) {
		t.Errorf("%d handshakes are counted as failed, want %d", got, len(cases)+1)
	}
}

func TestProtocolIsHTTP1(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	config := s.clientConfig()
	config.NextProtos = []string{"h2", "http/1.1"}
	if state, _ := s.connect(config); state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("protocol %q, want http/1.1", state.NegotiatedProtocol)
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, piece := range []int{1, 7, 100, 1000} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := s.clientConfig()
			config.MaxVersion = version
			s.connectInPieces(config, piece)
		}
	}
}

func TestHelloRetryRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.settings.Curves = []tls.CurveID{tls.CurveP384} })
	config := s.clientConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384} // the share is of the first
	if state, _ := s.connect(config); !state.HelloRetryRequest || state.CurveID != tls.CurveP384 {
		t.Errorf("hello retry request %v with curve %v, want one that leads to P384", state.HelloRetryRequest, state.CurveID)
	}
}

func TestServerName(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.settings.Certificates = append(s.settings.Certificates, s.authority.pair(t, rsaKey(), "b.test", "*.c.test"))
	})
	for name, want := range map[string]string{"a.test": "a.test", "b.test": "b.test", "x.c.test": "b.test"} {
		config := s.clientConfig()
		config.ServerName = name
		if state, _ := s.connect(config); state.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%s got the certificate of %s, want that of %s", name, state.PeerCertificates[0].DNSNames[0], want)
		}
	}
	config := s.clientConfig()
	config.ServerName, config.InsecureSkipVerify = "other.test", true
	if state, _ := s.connect(config); state.PeerCertificates[0].DNSNames[0] != "a.test" {
		t.Errorf("an unknown name got the certificate of %s, want the first", state.PeerCertificates[0].DNSNames[0])
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	known, stranger := newAuthority(), newAuthority()
	s := newSite(t, func(s *site) { s.settings.ClientCA = file(t, "ca.pem", certPEM(known.cert.Raw)) })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := s.clientConfig()
		config.MaxVersion = version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		if client, server := s.refuse(config); !strings.Contains(server.Error(), "provide a certificate") {
			t.Errorf("version %x without a certificate: the client was told %q, the server says %q", version, client, server)
		}
		// crypto/tls's client would not even send a certificate of an authority that is not asked for.
		foreign := stranger.client()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign, nil }
		if client, server := s.refuse(config); !strings.Contains(client.Error(), "unknown certificate authority") {
			t.Errorf("version %x with a stranger's certificate: the client was told %q, the server says %q", version, client, server)
		}
		own := known.client()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		for range 2 {
			if _, r := s.connect(config); r.Resumed {
				t.Errorf("version %x: a client with a certificate has resumed: nobody looked at its certificate again", version)
			}
		}
	}
}

// TestTicketsFromBeforeClientCA are worth nothing when certificates are asked for.
func TestTicketsFromBeforeClientCA(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	config := s.clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	s.connect(config)
	s.settings.ClientCA = file(t, "ca.pem", certPEM(s.authority.cert.Raw))
	s.Configure(s.load())
	if client, _ := s.refuse(config); !strings.Contains(client.Error(), "certificate required") {
		t.Errorf("a client with a ticket and no certificate was told %q, want that it needs one", client)
	}
}

func TestResumption(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	config := s.clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for i := range 4 {
		if i == 2 { // another certificate: the ticket keys stay
			s.settings.Certificates[0] = s.authority.pair(t, rsaKey(), "a.test")
			s.Configure(s.load())
		}
		if _, r := s.connect(config); r.Resumed != (i > 0) || r.Version != tls.VersionTLS13 {
			t.Errorf("connection %d: resumed %v, want %v", i, r.Resumed, i > 0)
		}
	}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	if state, r := s.connect(config); r.Resumed || state.PeerCertificates[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(ecdsaKey().Public()) {
		t.Errorf("a client without a ticket: resumed %v, with the certificate from before the reload", r.Resumed)
	}
	if c := s.Counters(); c.Resumed.Load() != 3 || c.TLS13.Load() != 5 || c.Done[OK].Load() != 5 {
		t.Errorf("counted: resumed %d, TLS 1.3 %d, ok %d, want 3, 5, 5", c.Resumed.Load(), c.TLS13.Load(), c.Done[OK].Load())
	}
}

// TestTLS12NeverResumes since crypto/tls logs no key then.
func TestTLS12NeverResumes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	config := s.clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	config.MaxVersion = tls.VersionTLS12
	for range 3 {
		if _, r := s.connect(config); r.Resumed {
			t.Error("TLS 1.2 has resumed")
		}
	}
}

// gathers is a client's connection that keeps what it writes until it is let go.
type gathers struct {
	net.Conn
	kept  bytes.Buffer
	holds bool
}

func (g *gathers) Write(b []byte) (int, error) {
	if !g.holds {
		g.holds = true // behind the hello
		return g.Conn.Write(b)
	}
	return g.kept.Write(b)
}

// TestDataBehindFinished comes in one segment with it: a request and a half.
func TestDataBehindFinished(t *testing.T) {
	t.Parallel()
	for _, tickets := range []bool{true, false} {
		s := newSite(t, nil)
		raw, l := s.dial(0)
		g := &gathers{Conn: raw}
		config := s.clientConfig()
		config.SessionTicketsDisabled = !tickets
		c := tls.Client(g, config)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"one", "two"} {
			if _, err := c.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		all := g.kept.Bytes()
		half := len(all) - 10
		if _, err := raw.Write(all[:half]); err != nil {
			t.Fatal(err)
		}
		if err := expect(c, "one"); err != nil {
			t.Fatalf("tickets %v: the record behind Finished: %v; the server: %v", tickets, err, l.result(t).Err)
		}
		if _, err := raw.Write(all[half:]); err != nil {
			t.Fatal(err)
		}
		if err := expect(c, "two"); err != nil {
			t.Fatalf("tickets %v: the record that came in two parts: %v", tickets, err)
		}
		_ = raw.Close()
	}
}

// TestFedAfterTheEnd is what comes between the end of a handshake and the loop's turn.
func TestFedAfterTheEnd(t *testing.T) {
	t.Parallel()
	h := &Handshake{port: newSite(t, nil).Port, in: []byte("one "), over: true}
	if err := h.Feed(bytes.Repeat([]byte("x"), maxUnread)); err != nil {
		t.Errorf("more than the limit, when the loop is about to take it: %v", err)
	}
	if got := len(h.Rest()); got != 4+maxUnread {
		t.Errorf("the rest has %d bytes, want %d", got, 4+maxUnread)
	}
}

func TestNoHandshakeRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, first := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05part", "\x17\x03\x01\x00\x01x"} {
		if h, err := s.Start(localhost, []byte(first), nil); err != ErrNoHandshake || h != nil {
			t.Errorf("%q: %v, want %v", first, err, ErrNoHandshake)
		}
	}
	if n := s.Counters().InFlight.Load(); n != 0 {
		t.Errorf("%d handshakes are in flight, want none", n)
	}
}

// TestMany is for the race detector: handshakes, reloads, aborts and readers of the counters.
func TestMany(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.settings.Handshakes = 8 })
	cache := tls.NewLRUClientSessionCache(64)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const clients, each = 10, 50
	var wg sync.WaitGroup
	errs := make(chan error, 2*clients*each)
	for i := range clients {
		wg.Go(func() {
			for k := range each {
				raw, l := s.dial(0)
				config := s.clientConfig()
				config.ClientSessionCache = cache
				if k%3 == 0 {
					config.MaxVersion = tls.VersionTLS12
				}
				c := tls.Client(raw, config)
				err := c.HandshakeContext(ctx)
				if err == nil && k%5 != 0 {
					err = echo(c)
				}
				_ = raw.Close()
				if err != nil {
					errs <- fmt.Errorf("client %d, handshake %d: %w", i, k, err)
				}
				select {
				case <-l.over:
				case <-ctx.Done():
					errs <- fmt.Errorf("client %d, handshake %d is not over", i, k)
				}
			}
		})
		if i%5 == 0 {
			wg.Go(func() { s.Configure(s.load()) })
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	c := s.Counters()
	ok, aborted := c.Done[OK].Load(), c.Done[Aborted].Load()
	if ok+aborted != clients*each || c.Resumed.Load() == 0 || c.InFlight.Load()+c.Waiting.Load() != 0 {
		t.Errorf("of %d: %d ok, %d aborted, %d resumed, %d in flight, %d waiting", clients*each, ok, aborted, c.Resumed.Load(), c.InFlight.Load(), c.Waiting.Load())
	}
}
