package secure

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"icomet/tlsrecord"
)

// Port is the TLS of one port, for the life of the process.
type Port struct {
	material  atomic.Pointer[Material]
	computing *Computing
	counters  Counters
	places    places
	beyond    atomic.Int64 // bytes that handshakes hold beyond maxUnread
	// base has the keys of session tickets, which rotate daily. It lives as long as the
	// port, or clients could not resume after a reload. It is never cloned: a clone makes
	// keys of its own.
	base *tls.Config
}

// NewPort makes a port that uses m.
func NewPort(m *Material, computing *Computing) *Port {
	p := &Port{computing: computing}
	p.places.counters = &p.counters
	p.base = &tls.Config{GetConfigForClient: p.configFor}
	p.Configure(m)
	return p
}

// Configure makes handshakes use m from their next hello on. Those in flight, and open
// connections, keep what they have.
func (p *Port) Configure(m *Material) {
	p.material.Store(m)
	p.places.setLimit(m.handshakes)
}

// Counters returns the figures of the port.
func (p *Port) Counters() *Counters { return &p.counters }

// Certificates are those that handshakes use now.
func (p *Port) Certificates() []Info { return p.material.Load().Certificates() }

// NoHello counts a client that has not begun a handshake.
func (p *Port) NoHello() { p.counters.Done[NoHello].Add(1) }

// Start begins the handshake of a client whose first record is here whole: at once, or when
// it has got a place. first belongs to the handshake from now on. It is called on the event
// loop of the connection.
func (p *Port) Start(client netip.Addr, first []byte, peer Peer) (*Handshake, error) {
	if recordLength(first) == 0 || first[0] != handshakeRecord {
		return nil, ErrNoHandshake
	}
	h := &Handshake{port: p, peer: peer, in: first}
	entered, refused := p.places.enter(h, client)
	refuse(refused)
	if !entered {
		p.counters.Done[Busy].Add(1)
		return nil, ErrBusy
	}
	return h, nil
}

// configFor makes the configuration of one connection from the port's present one.
func (p *Port) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := &hello.Conn.(*conn).secrets
	config := p.material.Load().config.Clone()
	config.KeyLogWriter = s
	if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		// crypto/tls logs no key when TLS 1.2 resumes.
		config.SessionTicketsDisabled = true
	}
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		s.tickets++
		return p.base.EncryptTicket(state, session)
	}
	return config, nil
}

// secrets gathers what the record layer needs of a handshake. crypto/tls writes to it in
// the format of SSLKEYLOGFILE. It belongs to the handshake's goroutine.
type secrets struct {
	client, server       []byte // TLS 1.3: the first secrets of application data
	master, clientRandom []byte // TLS 1.2
	serverRandom         []byte // TLS 1.2, from the first record that was sent
	tickets              uint64 // records behind the server's Finished, TLS 1.3
}

// Write takes one line of the key log: a label, the client's random, a secret.
func (s *secrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, errors.New("a line of the key log has another form than expected")
	}
	var err error
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		s.client, err = hex.AppendDecode(nil, fields[2])
	case "SERVER_TRAFFIC_SECRET_0":
		s.server, err = hex.AppendDecode(nil, fields[2])
	case "CLIENT_RANDOM":
		if s.clientRandom, err = hex.AppendDecode(nil, fields[1]); err == nil {
			s.master, err = hex.AppendDecode(nil, fields[2])
		}
	}
	if err != nil {
		// hex would name the byte that it stumbled upon.
		return 0, errors.New("a line of the key log is not hexadecimal")
	}
	return len(line), nil
}

// sent notes the random of a ServerHello, which begins the first record (RFC 5246 section
// 7.4.1.3). In TLS 1.3 nobody asks for it: it may be that of a HelloRetryRequest.
func (s *secrets) sent(b []byte) {
	const begin, end = 11, 11 + 32
	if s.serverRandom == nil && len(b) >= end && b[0] == handshakeRecord && b[5] == serverHello {
		s.serverRandom = bytes.Clone(b[begin:end])
	}
}

// state is where the record layer goes on.
func (s *secrets) state(version, suite uint16) (tlsrecord.State, error) {
	switch {
	case version == tls.VersionTLS13 && s.client != nil && s.server != nil:
		return tlsrecord.TLS13(suite, s.client, s.server, s.tickets)
	case version == tls.VersionTLS12 && s.master != nil && s.serverRandom != nil:
		return tlsrecord.TLS12(suite, s.master, s.clientRandom, s.serverRandom)
	}
	return tlsrecord.State{}, errNoKeys
}

// forget overwrites the secrets that are here.
func (s *secrets) forget() {
	clear(s.client)
	clear(s.server)
	clear(s.master)
}
