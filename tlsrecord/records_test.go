package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"testing"
	"unsafe"
)

// ends gives a server and its client: the same keys, the other way round.
func ends(t testing.TB, id uint16) (server, client *State) {
	t.Helper()
	var s State
	var err error
	if u := suites[id]; u.tls13 {
		s, err = TLS13(id, random(int(u.hash)), random(int(u.hash)), 0)
	} else {
		s, err = TLS12(id, random(48), random(32), random(32))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := s
	c.in, c.out = s.out, s.in
	return &s, &c
}

// raw seals one record, whatever is in it.
func raw(s *State, typ byte, p []byte) []byte { return s.seal(s.Sealer(), nil, typ, p) }

func data(s *State, p string) []byte { return raw(s, applicationData, []byte(p)) }

func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(State{}); n > 120 {
		t.Errorf("a State has %d bytes", n)
	}
}

func TestWrongSecrets(t *testing.T) {
	b := random(48)
	for name, f := range map[string]func() (State, error){
		"unknown suite":       func() (State, error) { return TLS13(tls.TLS_RSA_WITH_AES_128_CBC_SHA, nil, nil, 0) },
		"1.3 with a 1.2 one":  func() (State, error) { return TLS13(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, b[:32], b[:32], 0) },
		"1.2 with a 1.3 one":  func() (State, error) { return TLS12(tls.TLS_AES_128_GCM_SHA256, b, b[:32], b[:32]) },
		"1.2 unknown":         func() (State, error) { return TLS12(tls.TLS_RSA_WITH_AES_128_CBC_SHA, b, b[:32], b[:32]) },
		"short secret":        func() (State, error) { return TLS13(tls.TLS_AES_128_GCM_SHA256, b[:31], b[:32], 0) },
		"long secret":         func() (State, error) { return TLS13(tls.TLS_AES_128_GCM_SHA256, b[:32], b[:33], 0) },
		"too many tickets":    func() (State, error) { return TLS13(tls.TLS_AES_128_GCM_SHA256, b[:32], b[:32], 1<<24+1) },
		"short master":        func() (State, error) { return TLS12(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, b[:47], b[:32], b[:32]) },
		"short client random": func() (State, error) { return TLS12(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, b, b[:31], b[:32]) },
		"short server random": func() (State, error) { return TLS12(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, b, b[:32], b[:31]) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecordLength(t *testing.T) {
	for _, c := range []struct {
		in  string
		n   int
		err error
	}{
		{"", 0, nil}, {"\x17", 0, nil}, {"\x17\x03\x03\x40", 0, nil},
		{"\x17\x03\x03\x00\x00", 5, nil}, {"\x14\x03\x03\x01\x02more", 263, nil},
		{"\x17\x03\x03\x41\x00", 5 + 1<<14 + 256, nil}, {"\x17\x03\x03\x41\x01", 0, RecordOverflow},
		{"\x17\x03\x03\xff\xff", 0, RecordOverflow},
		{"\x13", 0, UnexpectedMessage}, {"\x18\x03\x03\x00\x00", 0, UnexpectedMessage}, {"GET /", 0, UnexpectedMessage},
		{"\x17\x02", 0, ProtocolVersion}, {"\x17\x03\x01", 0, ProtocolVersion}, {"\x17\x03\x04\x00\x00", 0, ProtocolVersion},
	} {
		if n, err := RecordLength([]byte(c.in)); n != c.n || err != c.err {
			t.Errorf("%q: %d, %v; want %d, %v", c.in, n, err, c.n, c.err)
		}
	}
}

// Each wrong record gets its alert. make seals as a client would.
func TestOpenRefuses(t *testing.T) {
	const v13, v12 = 1, 2
	cases := []struct {
		name     string
		versions int
		make     func(c *State) []byte
		want     error
	}{
		{"changed", v12 | v13, func(c *State) []byte { r := data(c, "x"); r[len(r)-1] ^= 1; return r }, BadRecordMAC},
		{"reordered", v12 | v13, func(c *State) []byte { data(c, "1"); return data(c, "2") }, BadRecordMAC},
		{"other length in the header", v13, func(c *State) []byte { r := data(c, "xy"); r[4]--; return r[:len(r)-1] }, BadRecordMAC},
		{"other type in the header", v12, func(c *State) []byte { r := data(c, "xy"); r[0] = alert; return r }, BadRecordMAC},
		{"no body", v12 | v13, func(*State) []byte { return []byte{23, 3, 3, 0, 0} }, BadRecordMAC},
		{"body of 7 bytes", v12 | v13, func(*State) []byte { return append([]byte{23, 3, 3, 0, 7}, random(7)...) }, BadRecordMAC},
		{"body of 23 bytes", v12 | v13, func(*State) []byte { return append([]byte{23, 3, 3, 0, 23}, random(23)...) }, BadRecordMAC},
		{"truncated", v12 | v13, func(c *State) []byte { r := data(c, "x"); return r[:len(r)-1] }, DecodeError},
		{"two at once", v12 | v13, func(c *State) []byte { return append(data(c, "x"), data(c, "y")...) }, DecodeError},
		{"nothing", v12 | v13, func(*State) []byte { return nil }, DecodeError},
		{"bad header", v12 | v13, func(*State) []byte { return []byte("GET / HTTP/1.1") }, UnexpectedMessage},
		{"content of 2^14 + 1", v12, func(c *State) []byte { return raw(c, applicationData, make([]byte, 1<<14+1)) }, RecordOverflow},
		{"content and padding of 2^14 + 1", v13, func(c *State) []byte { return raw(c, 0, make([]byte, 1<<14+1)) }, RecordOverflow},
		{"padding only", v13, func(c *State) []byte { return raw(c, 0, make([]byte, 100)) }, UnexpectedMessage},
		{"no type", v13, func(c *State) []byte { return raw(c, 0, nil) }, UnexpectedMessage},
		{"unknown type", v13, func(c *State) []byte { return raw(c, 99, []byte("x")) }, UnexpectedMessage},
		{"change_cipher_spec", v12 | v13, func(c *State) []byte { return raw(c, changeCipherSpec, []byte{1}) }, UnexpectedMessage},
		{"plain change_cipher_spec", v13, func(*State) []byte { return []byte{20, 3, 3, 0, 1, 1} }, UnexpectedMessage},
		{"plain alert", v13, func(*State) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} }, UnexpectedMessage},
		{"plain alert", v12, func(*State) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} }, BadRecordMAC},
		{"empty alert", v12 | v13, func(c *State) []byte { return raw(c, alert, nil) }, UnexpectedMessage},
		{"half an alert", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{1}) }, DecodeError},
		{"two alerts", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{1, 0, 1, 0}) }, DecodeError},
		{"close_notify", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{1, 0}) }, io.EOF},
		{"fatal close_notify", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{2, 0}) }, io.EOF},
		{"fatal alert", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{2, 42}) }, PeerAlert(42)},
		{"warning", v13, func(c *State) []byte { return raw(c, alert, []byte{1, 42}) }, PeerAlert(42)},
		{"warning", v12, func(c *State) []byte { return raw(c, alert, []byte{1, 42}) }, nil},
		{"user_canceled", v12 | v13, func(c *State) []byte { return raw(c, alert, []byte{1, 90}) }, nil},
		{"empty data", v12 | v13, func(c *State) []byte { return data(c, "") }, nil},
		{"empty handshake", v12 | v13, func(c *State) []byte { return raw(c, handshake, nil) }, UnexpectedMessage},
		{"ClientHello", v13, func(c *State) []byte { return raw(c, handshake, []byte{1, 0, 0, 1, 0}) }, UnexpectedMessage},
		{"ClientHello", v12, func(c *State) []byte { return raw(c, handshake, []byte{1, 0, 0, 1, 0}) }, NoRenegotiation},
		{"Finished", v12 | v13, func(c *State) []byte { return raw(c, handshake, []byte{20, 0, 0, 1, 0}) }, UnexpectedMessage},
		{"KeyUpdate", v12, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 1, 0}) }, UnexpectedMessage},
		{"half a KeyUpdate", v13, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 1}) }, UnexpectedMessage},
		{"KeyUpdate and more", v13, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 1, 0, 24}) }, UnexpectedMessage},
		{"long KeyUpdate", v13, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 2, 0}) }, UnexpectedMessage},
		{"KeyUpdate(2)", v13, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 1, 2}) }, IllegalParameter},
		{"KeyUpdate(0)", v13, func(c *State) []byte { return raw(c, handshake, []byte{24, 0, 0, 1, 0}) }, nil},
	}
	eachSuite(t, func(t *testing.T, id uint16) {
		version := v12
		if suites[id].tls13 {
			version = v13
		}
		for _, c := range cases {
			if c.versions&version == 0 {
				continue
			}
			s, client := ends(t, id)
			p, err := s.Open(s.Opener(), c.make(client))
			if err != c.want || len(p) > 0 {
				t.Errorf("%s: %q, %v; want %v", c.name, p, err, c.want)
			}
		}
		s, client := ends(t, id)
		c, record := s.Opener(), data(client, "once")
		if p, err := s.Open(c, bytes.Clone(record)); string(p) != "once" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		if p, err := s.Open(c, record); err != BadRecordMAC {
			t.Errorf("replayed: %q, %v", p, err)
		}
		s.in.seq, client.out.seq = math.MaxUint64, math.MaxUint64
		if p, err := s.Open(c, data(client, "x")); err != InternalError {
			t.Errorf("sequence number at its end: %q, %v", p, err)
		}
	})
}

// TLS 1.3 pads; the longest record that may come has 2^14 + 1 bytes inside.
func TestPadding(t *testing.T) {
	for _, padding := range []int{0, 1, 100, 1<<14 - 3} {
		s, client := ends(t, tls.TLS_AES_128_GCM_SHA256)
		inner := append(append([]byte("abc"), applicationData), make([]byte, padding)...)
		p, err := s.Open(s.Opener(), raw(client, inner[len(inner)-1], inner[:len(inner)-1]))
		if string(p) != "abc" || err != nil {
			t.Errorf("padding of %d: %q, %v", padding, p, err)
		}
	}
}

// A client of TLS 1.2 may choose the explicit nonce as it likes.
func TestExplicitNonce(t *testing.T) {
	s, client := ends(t, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	c := client.Sealer()
	copy(c.nonce[4:], "anything")
	record := append([]byte{23, 3, 3, 0, 8 + 3 + tag}, c.nonce[4:]...)
	head := record[:header:header]
	record = c.aead.Seal(record, c.nonce[:], []byte("abc"), client.additional(c, head, client.out.seq, 3))
	if p, err := s.Open(s.Opener(), record); string(p) != "abc" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}

// flood sends what make seals until it is refused, and returns how many were taken.
func flood(t *testing.T, id uint16, between int, make func(c *State) []byte) int {
	t.Helper()
	s, client := ends(t, id)
	c := s.Opener()
	for n := range 10_000 {
		if _, err := s.Open(c, make(client)); err == UnexpectedMessage {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		for range between {
			if p, err := s.Open(c, data(client, "x")); string(p) != "x" || err != nil {
				t.Fatal(string(p), err)
			}
		}
	}
	return math.MaxInt
}

func TestFlood(t *testing.T) {
	empty := func(c *State) []byte { return data(c, "") }
	warning := func(c *State) []byte { return raw(c, alert, []byte{1, 90}) }
	update := func(c *State) []byte { return c.AppendKeyUpdate(c.Sealer(), nil) }
	eachSuite(t, func(t *testing.T, id uint16) {
		kinds := []func(c *State) []byte{empty, warning}
		if suites[id].tls13 {
			kinds = append(kinds, update)
		}
		for i, f := range kinds {
			if n := flood(t, id, 0, f); n != 32 {
				t.Errorf("kind %d: %d in a row, want 32", i, n)
			}
			if n := flood(t, id, 1, f); n > 50 {
				t.Errorf("kind %d: %d with one record of data between two, want at most 50", i, n)
			}
			if n := flood(t, id, 4, f); n != math.MaxInt {
				t.Errorf("kind %d: refused after %d with 4 records of data between two", i, n)
			}
		}
	})
	// A client that only listens may change its key now and then.
	s, client := ends(t, tls.TLS_AES_128_GCM_SHA256)
	c, seal := s.Opener(), s.Sealer()
	for n := range 1000 {
		if _, err := s.Open(c, update(client)); err != nil {
			t.Fatalf("KeyUpdate %d: %v", n, err)
		}
		for range 4 {
			s.Seal(seal, nil, applicationData, []byte("pushed"))
		}
	}
}

// Before the next record of data comes the KeyUpdate that the client asked for: one, however
// often it has asked.
func TestKeyUpdateOwed(t *testing.T) {
	s, client := ends(t, tls.TLS_AES_256_GCM_SHA384)
	seal, open, theirs := s.Sealer(), s.Opener(), client.Opener()
	for range 3 {
		record := raw(client, handshake, []byte(keyUpdate+"\x01"))
		client.update(&client.out)
		if _, err := s.Open(open, record); err != nil {
			t.Fatal(err)
		}
	}
	before := s.out.secret
	dst, _ := s.Seal(seal, nil, applicationData, []byte("data"))
	n, _ := RecordLength(dst)
	if p, err := client.Open(theirs, dst[:n]); len(p) > 0 || err != nil || client.owed || client.in.secret == before {
		t.Errorf("first record: %q, %v", p, err)
	}
	if p, err := client.Open(theirs, dst[n:]); string(p) != "data" || err != nil {
		t.Errorf("second record: %q, %v", p, err)
	}
}

func TestLimits(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		s, client := ends(t, id)
		seal, theirs := s.Sealer(), client.Opener()
		limit := uint64(limit12)
		if s.suite.tls13 {
			limit = limit13
		}
		s.out.seq, client.in.seq = limit-1, limit-1
		p := random(40_000) // three records, of which one has room
		dst, err := s.Seal(seal, nil, applicationData, p)
		if !s.suite.tls13 && err != ErrExhausted || s.suite.tls13 && err != nil {
			t.Fatalf("Seal: %v", err)
		}
		dst = s.AppendAlert(seal, dst, CloseNotify)
		if len(dst)-len(p) > Overhead(len(p))+Overhead(2) {
			t.Errorf("%d bytes more, Overhead says %d", len(dst)-len(p), Overhead(len(p)))
		}
		var got []byte
		records := 0
		for ; len(dst) > 0; records++ {
			n, _ := RecordLength(dst)
			part, err := client.Open(theirs, dst[:n])
			if last := n == len(dst); err != nil && !(last && err == io.EOF) {
				t.Fatalf("record %d: %v", records, err)
			}
			got, dst = append(got, part...), dst[n:]
		}
		if !s.suite.tls13 {
			p = p[:maxPlaintext]
		}
		if !bytes.Equal(got, p) || s.suite.tls13 && (records != 5 || s.out.seq != 3) {
			t.Errorf("%d bytes in %d records, next is %d", len(got), records, s.out.seq)
		}
	})
}

// A Cipher that does not fit any more, or is for the other direction, is made anew.
func TestCipherKeptTooLong(t *testing.T) {
	s, client := ends(t, tls.TLS_CHACHA20_POLY1305_SHA256)
	old, theirs := s.Sealer(), client.Opener()
	records := [][]byte{s.AppendKeyUpdate(s.Sealer(), nil)}
	for _, c := range []*Cipher{old, s.Opener()} {
		dst, _ := s.Seal(c, nil, applicationData, []byte("x"))
		records = append(records, dst)
	}
	for i, r := range records {
		if p, err := client.Open(theirs, r); err != nil || i > 0 && string(p) != "x" {
			t.Errorf("record %d: %q, %v", i, p, err)
		}
	}
}

func TestSealNothing(t *testing.T) {
	s, _ := ends(t, tls.TLS_AES_128_GCM_SHA256)
	if dst, err := s.Seal(s.Sealer(), []byte("kept"), applicationData, nil); string(dst) != "kept" || err != nil {
		t.Errorf("%q, %v", dst, err)
	}
}

func TestErrorTexts(t *testing.T) {
	var a Alert
	if err := error(BadRecordMAC); !errors.As(err, &a) || err.Error() != "tls: bad record MAC" {
		t.Errorf("%v", err)
	}
	if err := PeerAlert(BadRecordMAC); errors.As(err, &a) || err.Error() != "from the client: tls: bad record MAC" {
		t.Errorf("%v", err)
	}
}
