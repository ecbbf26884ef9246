package tlsrecord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// State is what a connection needs for as long as it lives. The zero value is invalid.
type State struct {
	in, out half
	suite   suite
	ignored uint8 // points for records without data: see control
	owed    bool  // the client has asked for a KeyUpdate that is not sent yet
}

// Records is how many records of the present keys have come and gone.
func (s *State) Records() (in, out uint64) { return s.in.seq, s.out.seq }

type half struct {
	secret [48]byte // TLS 1.3: traffic secret. TLS 1.2: key and iv. Zeros follow.
	seq    uint64   // of the next record: RFC 8446 5.3, RFC 5246 6.1
}

// Cipher is what is expensive to make from a State: about 900 bytes with AES-GCM. The caller
// keeps it while the connection is busy. If its secret is not the present one (there was a
// KeyUpdate, or it is for the other direction), the next use makes it anew in place.
type Cipher struct {
	aead      cipher.AEAD
	secret    [48]byte
	iv, nonce [12]byte
	data      [13]byte // additional data of TLS 1.2; here, because a local one would escape
}

type suite struct {
	key, hash, iv uint8 // bytes; hash 48 is SHA-384; iv 4 is the salt of RFC 5288 3
	tls13, chacha bool
}

var suites = map[uint16]suite{ // RFC 8446 B.4, RFC 5289 3.2, RFC 7905 2
	tls.TLS_AES_128_GCM_SHA256:                        {16, 32, 12, true, false},
	tls.TLS_AES_256_GCM_SHA384:                        {32, 48, 12, true, false},
	tls.TLS_CHACHA20_POLY1305_SHA256:                  {32, 32, 12, true, true},
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         {16, 32, 4, false, false},
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       {16, 32, 4, false, false},
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         {32, 48, 4, false, false},
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       {32, 48, 4, false, false},
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   {32, 32, 12, false, true},
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: {32, 32, 12, false, true},
}
var errSecrets = errors.New("tlsrecord: the secrets do not fit the suite")

// TLS13 takes the secrets client_ and server_application_traffic_secret_0 (RFC 8446 7.1).
// sent is the number of records that the server has sealed with the latter: its tickets.
func TLS13(id uint16, clientSecret, serverSecret []byte, sent uint64) (State, error) {
	s := State{suite: suites[id], out: half{seq: sent}}
	n := int(s.suite.hash)
	if !s.suite.tls13 || len(clientSecret) != n || len(serverSecret) != n || sent > limit13 {
		return State{}, errSecrets
	}
	copy(s.in.secret[:], clientSecret)
	copy(s.out.secret[:], serverSecret)
	return s, nil
}

// TLS12 takes the master secret and the hellos' randoms. Record 0 of each side was Finished.
func TLS12(id uint16, master, clientRandom, serverRandom []byte) (State, error) {
	s := State{suite: suites[id], in: half{seq: 1}, out: half{seq: 1}}
	if s.suite.key == 0 || s.suite.tls13 || len(master) != 48 || len(clientRandom) != 32 || len(serverRandom) != 32 {
		return State{}, errSecrets
	}
	var block []byte // RFC 5246 6.3 without MAC keys, by the PRF of RFC 5246 5
	key, iv, hash := int(s.suite.key), int(s.suite.iv), int(s.suite.hash)
	seed := slices.Concat([]byte("key expansion"), serverRandom, clientRandom)
	for a := seed; len(block) < 2*key+2*iv; {
		next := s.suite.hmac(master, a)
		part := s.suite.hmac(master, slices.Concat(next[:hash], seed))
		a, block = next[:hash], append(block, part[:hash]...)
	}
	copy(s.in.secret[:], block[:key])
	copy(s.out.secret[:], block[key:2*key])
	copy(s.in.secret[key:], block[2*key:2*key+iv])
	copy(s.out.secret[key:], block[2*key+iv:2*key+2*iv])
	return s, nil
}

// Sealer makes the Cipher for what the server sends, Opener for what it receives.
func (s *State) Sealer() *Cipher { return s.ready(new(Cipher), &s.out) }
func (s *State) Opener() *Cipher { return s.ready(new(Cipher), &s.in) }

// ready gives c the present key and iv (RFC 8446 7.3), and the nonce of the next record: iv
// XOR sequence number (RFC 8446 5.3, RFC 7905 2). The iv of AES-GCM in TLS 1.2 is the salt
// and 8 zeros, so the nonce is the salt and the sequence number (RFC 5288 3).
func (s *State) ready(c *Cipher, h *half) *Cipher {
	if c.aead == nil || c.secret != h.secret {
		c.secret = h.secret
		key := c.secret
		copy(c.iv[:], c.secret[s.suite.key:])
		if s.suite.tls13 {
			key = s.suite.expand(h, "key", s.suite.key)
			iv := s.suite.expand(h, "iv", s.suite.iv)
			copy(c.iv[:], iv[:])
		}
		if s.suite.chacha { // errors are for lengths that no suite has
			c.aead, _ = chacha20poly1305.New(key[:s.suite.key])
		} else {
			block, _ := aes.NewCipher(key[:s.suite.key])
			c.aead, _ = cipher.NewGCM(block)
		}
	}
	c.nonce = c.iv
	binary.BigEndian.PutUint64(c.nonce[4:], binary.BigEndian.Uint64(c.iv[4:])^h.seq)
	return c
}

// update goes on to the next secret: RFC 8446 7.2.
func (s *State) update(h *half) {
	*h = half{secret: s.suite.expand(h, "traffic upd", s.suite.hash)}
}

// expand is HKDF-Expand-Label without context (RFC 8446 7.1), for one block of HKDF-Expand
// (RFC 5869 2.3). The first n bytes of the result count.
func (u suite) expand(h *half, label string, n uint8) [48]byte {
	info := append(make([]byte, 0, 32), 0, n, byte(len("tls13 ")+len(label)))
	return u.hmac(h.secret[:u.hash], append(append(append(info, "tls13 "...), label...), 0, 1))
}

// hmac is RFC 2104 for keys of at most a block, without allocation: crypto/hmac would take
// 16 objects and 3 times as long for key and iv of each record of an idle connection.
func (u suite) hmac(key, message []byte) [48]byte {
	var in, out [256]byte
	block := 64
	if u.hash == 48 {
		block = 128
	}
	copy(in[:], key)
	copy(out[:], key)
	for i := range block {
		in[i] ^= 0x36
		out[i] ^= 0x5c
	}
	inner := u.digest(append(in[:block], message...))
	return u.digest(append(out[:block], inner[:u.hash]...))
}

func (u suite) digest(message []byte) (sum [48]byte) {
	if u.hash == 48 {
		return sha512.Sum384(message)
	}
	short := sha256.Sum256(message)
	copy(sum[:], short[:])
	return sum
}
