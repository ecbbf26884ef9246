package tlsrecord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// Directions, as the server sees them. Values of Cipher.direction and indices in State.
const (
	receiving = iota
	sending
)

// State is what a connection needs for as long as it lives. The zero value is invalid.
type State struct {
	half       [2]half
	generation [2]uint16 // key changes so far, modulo 2^16; see Cipher
	suite      uint16    // as in crypto/tls; 0x13xx is TLS 1.3
	ignored    uint8     // points for records without data; see State.ignore
	owed       bool      // the client has asked for a KeyUpdate that is not sent yet
}

// half is one direction. No pointers, so that the garbage collector need not look inside.
type half struct {
	secret [48]byte // TLS 1.3: the traffic secret, 32 or 48 bytes. TLS 1.2: key, then iv.
	seq    uint64   // of the next record: RFC 8446 5.3, RFC 5246 6.1
}

// Cipher is what is expensive to make from a State: about 800 bytes with AES-GCM. The
// caller keeps it while the connection is busy. It may only be used with the State that
// made it. If the keys have changed since, or it was made for the other direction, the
// next use makes it anew in place: a key and nonce must never be used twice.
type Cipher struct {
	aead       cipher.AEAD
	direction  uint8
	generation uint16
	iv, nonce  [12]byte
	data       [13]byte // additional data of TLS 1.2; here, since a local one would escape
}

// suite says what a cipher suite consists of. RFC 8446 B.4, RFC 5289 3.2, RFC 7905 2.
type suite struct {
	key    int // bytes; 0: the suite is not supported
	hash   int // bytes of a hash: 32 is SHA-256, 48 is SHA-384
	chacha bool
}

func suiteOf(id uint16) suite {
	switch id {
	case tls.TLS_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return suite{key: 16, hash: 32}
	case tls.TLS_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return suite{key: 32, hash: 48}
	case tls.TLS_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return suite{key: 32, hash: 32, chacha: true}
	}
	return suite{}
}

func (s *State) tls13() bool { return s.suite>>8 == 0x13 }

// explicit tells whether 8 bytes of the nonce are in the record: RFC 5288 3.
func (s *State) explicit() bool { return !s.tls13() && !suiteOf(s.suite).chacha }

var errSecrets = errors.New("tlsrecord: suite and secrets do not fit")

// TLS13 takes the secrets client_ and server_application_traffic_secret_0 (RFC 8446 7.1).
// sent is the number of records that the server has sealed with the latter: its tickets.
func TLS13(id uint16, clientSecret, serverSecret []byte, sent uint64) (State, error) {
	s := State{suite: id}
	hash := suiteOf(id).hash
	if hash == 0 || !s.tls13() || len(clientSecret) != hash || len(serverSecret) != hash || sent > limit13 {
		return State{}, errSecrets
	}
	copy(s.half[receiving].secret[:], clientSecret)
	copy(s.half[sending].secret[:], serverSecret)
	s.half[sending].seq = sent
	return s, nil
}

// TLS12 takes the master secret and the randoms of the hellos. Each side has sealed one
// record, its Finished.
func TLS12(id uint16, master, clientRandom, serverRandom []byte) (State, error) {
	s := State{suite: id}
	p := suiteOf(id)
	if p.key == 0 || s.tls13() || len(master) != 48 || len(clientRandom) != 32 || len(serverRandom) != 32 {
		return State{}, errSecrets
	}
	iv := 12 // RFC 7905 2
	if s.explicit() {
		iv = 4 // RFC 5288 3: the salt. What follows in secret stays zero.
	}
	// RFC 5246 6.3; AEAD suites have no MAC keys. Client's key, server's, client's iv, server's.
	block := prf12(p.hash, master, "key expansion", serverRandom, clientRandom, 2*p.key+2*iv)
	for d := range s.half {
		copy(s.half[d].secret[:], block[d*p.key:][:p.key])
		copy(s.half[d].secret[p.key:], block[2*p.key+d*iv:][:iv])
		s.half[d].seq = 1
	}
	return s, nil
}

// Sealer makes the Cipher for what the server sends, Opener for what it receives.
func (s *State) Sealer() *Cipher { return s.derive(new(Cipher), sending) }
func (s *State) Opener() *Cipher { return s.derive(new(Cipher), receiving) }

// derive makes c fit the present key of a direction: RFC 8446 7.3.
func (s *State) derive(c *Cipher, direction uint8) *Cipher {
	p := suiteOf(s.suite)
	secret := s.half[direction].secret // a copy, since the AEAD keeps none of it
	key := secret[:p.key]
	copy(c.iv[:], secret[p.key:])
	if s.tls13() {
		expanded := expandLabel(secret[:p.hash], "key", p.key)
		iv := expandLabel(secret[:p.hash], "iv", len(c.iv))
		key = expanded[:p.key]
		copy(c.iv[:], iv[:])
	}
	// These fail for a wrong length of the key only, which suiteOf rules out.
	if p.chacha {
		c.aead, _ = chacha20poly1305.New(key)
	} else {
		block, _ := aes.NewCipher(key)
		c.aead, _ = cipher.NewGCM(block)
	}
	c.direction, c.generation = direction, s.generation[direction]
	return c
}

// ready makes c anew if it has not got the present key, and sets the nonce of the next
// record: iv XOR sequence number (RFC 8446 5.3, RFC 7905 2). With AES-GCM of TLS 1.2 the
// iv is the salt and 8 zeros, so that the result is salt and sequence number (RFC 5288 3).
func (s *State) ready(c *Cipher, direction uint8) {
	if c.direction != direction || c.generation != s.generation[direction] {
		s.derive(c, direction)
	}
	c.nonce = c.iv
	binary.BigEndian.PutUint64(c.nonce[4:], binary.BigEndian.Uint64(c.iv[4:])^s.half[direction].seq)
}

// additional is the additional data of TLS 1.2 for n bytes of plaintext: RFC 5246 6.2.3.3.
func (s *State) additional(c *Cipher, typ byte, n int) []byte {
	data := binary.BigEndian.AppendUint64(c.data[:0], s.half[c.direction].seq)
	return append(data, typ, 3, 3, byte(n>>8), byte(n))
}

// update goes on to the next traffic secret of TLS 1.3: RFC 8446 7.2.
func (s *State) update(direction uint8) {
	h := &s.half[direction]
	n := suiteOf(s.suite).hash
	h.secret = expandLabel(h.secret[:n], "traffic upd", n)
	h.seq = 0
	s.generation[direction]++
}
