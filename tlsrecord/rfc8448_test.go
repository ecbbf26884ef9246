package tlsrecord

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// RFC 8448 section 3.
var (
	rfcClientSecret = unhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
	rfcServerSecret = unhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
	rfcServerIV     = unhex("cf782b88dd83549aadf1e984")
	rfcClientIV     = unhex("5b78923dee08579033e523d9")
	rfcServerKey    = unhex("9f02283b6c9c07efc26bb9f2ac92e356")
	rfcClientKey    = unhex("17422dda596ed5d9acd890e3c63f5051")
	rfcClientData   = unhex(`1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`)
	rfcServerData   = unhex(`1703030043 2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`)
	rfcClientAlert  = unhex(`1703030013 c9872760655666b74d7ff1153efd6db6d0b0e3`)
	rfcServerAlert  = unhex(`1703030013 b58fd67166ebf599d24720cfbe7efa7a8864a9`)
)

func TestRFC8448(t *testing.T) {
	s, err := TLS13(tls.TLS_AES_128_GCM_SHA256, rfcClientSecret, rfcServerSecret, 1) // record 0 was the ticket
	if err != nil {
		t.Fatal(err)
	}
	seal, open := s.Sealer(), s.Opener()
	if !bytes.Equal(seal.iv[:], rfcServerIV) || !bytes.Equal(open.iv[:], rfcClientIV) {
		t.Errorf("iv of the server %x, of the client %x", seal.iv, open.iv)
	}
	for secret, key := range map[*[48]byte][]byte{&s.out.secret: rfcServerKey, &s.in.secret: rfcClientKey} {
		if got := expand(s.suite.hmac(secret[:32]), "key", 16); !bytes.Equal(got, key) {
			t.Errorf("key %x, want %x", got, key)
		}
	}
	data := make([]byte, 50)
	for i := range data {
		data[i] = byte(i)
	}
	if p, err := s.Open(open, bytes.Clone(rfcClientData)); err != nil || !bytes.Equal(p, data) {
		t.Errorf("the client's data: %x, %v", p, err)
	}
	if got, err := s.Seal(seal, nil, applicationData, data); err != nil || !bytes.Equal(got, rfcServerData) {
		t.Errorf("the server's data: %x, %v", got, err)
	}
	if _, err := s.Open(open, bytes.Clone(rfcClientAlert)); err != io.EOF {
		t.Errorf("the client's alert: %v", err)
	}
	if got := s.AppendAlert(seal, nil, CloseNotify); !bytes.Equal(got, rfcServerAlert) {
		t.Errorf("the server's alert: %x", got)
	}
}

// crypto/hkdf says what the secret, key and iv after a KeyUpdate are, for each suite.
func TestDerivation(t *testing.T) {
	for id, u := range suites {
		if !u.tls13 {
			continue
		}
		h := func() hash.Hash { return sha256.New() }
		if u.hash == 48 {
			h = sha512.New384
		}
		label := func(secret []byte, name string, n uint8) []byte {
			out, err := hkdf.Expand(h, secret, fmt.Sprintf("\x00%c%ctls13 %s\x00", n, 6+len(name), name), int(n))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		secret := random(int(u.hash))
		s, err := TLS13(id, secret, secret, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.update(&s.out)
		want := label(secret, "traffic upd", u.hash)
		if got := s.out.secret[:u.hash]; !bytes.Equal(got, want) {
			t.Errorf("%s: next secret %x, want %x", tls.CipherSuiteName(id), got, want)
		}
		if iv := s.Sealer().iv; !bytes.Equal(iv[:], label(want, "iv", 12)) {
			t.Errorf("%s: iv %x, want %x", tls.CipherSuiteName(id), iv, label(want, "iv", 12))
		}
		if key := expand(s.suite.hmac(want), "key", u.key); !bytes.Equal(key, label(want, "key", u.key)) {
			t.Errorf("%s: key %x, want %x", tls.CipherSuiteName(id), key, label(want, "key", u.key))
		}
	}
}
