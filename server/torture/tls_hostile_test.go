package torture

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
)

// Types of records, and messages of a handshake.
const (
	typeAlert, typeHandshake, typeData = 21, 22, 23

	keyUpdate, keyUpdateAsked = "\x18\x00\x00\x01\x00", "\x18\x00\x00\x01\x01"
)

// misdeed is what a client does behind its handshake.
type misdeed struct {
	about    string
	versions []uint16
	bytes    func(in *intruder) []byte
	told     string // in the error with which the server ends the connection; "" if it says nothing
}

// many are n records.
func many(n int, record func() []byte) (b []byte) {
	for range n {
		b = append(b, record()...)
	}
	return b
}

// updates are KeyUpdates, each with the key of the one before it.
func updates(message string) func(in *intruder) []byte {
	return func(in *intruder) []byte {
		return many(1000, func() []byte {
			b := in.seal(typeHandshake, message)
			in.update()
			return b
		})
	}
}

var only13, only12 = tlsVersions[:1], tlsVersions[1:]

var misdeeds = []misdeed{
	{"wrong MAC", tlsVersions, func(in *intruder) []byte {
		b := in.seal(typeData, "GET ")
		b[len(b)-1] ^= 1
		return b
	}, "bad record MAC"},
	{"a bit of the text", tlsVersions, func(in *intruder) []byte {
		b := in.seal(typeData, "GET ")
		b[14] ^= 0x80
		return b
	}, "bad record MAC"},
	{"replayed", tlsVersions, func(in *intruder) []byte {
		b := in.seal(typeData, "G")
		return append(b, b...)
	}, "bad record MAC"},
	{"reordered", tlsVersions, func(in *intruder) []byte {
		first, second := in.seal(typeData, "G"), in.seal(typeData, "E")
		return append(second, first...)
	}, "bad record MAC"},
	{"left out", tlsVersions, func(in *intruder) []byte {
		in.seal(typeData, "G")
		return in.seal(typeData, "E")
	}, "bad record MAC"},
	{"cut short", tlsVersions, func(in *intruder) []byte { return []byte{typeData, 3, 3, 0, 3, 1, 2, 3} }, "bad record MAC"},
	{"too long", tlsVersions, func(*intruder) []byte { return []byte{typeData, 3, 3, 0xff, 0xff} }, "record overflow"},
	{"plain text", tlsVersions, func(*intruder) []byte { return []byte(pingRequest) }, "unexpected message"},
	{"another version", tlsVersions, func(*intruder) []byte { return []byte{typeData, 2, 0, 0, 20} }, "protocol version"},
	{"change cipher spec", only13, func(*intruder) []byte { return []byte{20, 3, 3, 0, 1, 1} }, "unexpected message"},
	{"empty records", tlsVersions, func(in *intruder) []byte {
		return many(1000, func() []byte { return in.seal(typeData, "") })
	}, "unexpected message"},
	{"warnings", tlsVersions, func(in *intruder) []byte {
		return many(1000, func() []byte { return in.seal(typeAlert, "\x01\x5a") }) // user_canceled
	}, "unexpected message"},
	{"warnings of other kinds", only12, func(in *intruder) []byte {
		return many(1000, func() []byte { return in.seal(typeAlert, "\x01\x64") }) // no_renegotiation
	}, "unexpected message"},
	{"an alert and a half", tlsVersions, func(in *intruder) []byte { return in.seal(typeAlert, "\x01\x5a\x01") }, "error decoding"},
	{"a fatal alert", tlsVersions, func(in *intruder) []byte { return in.seal(typeAlert, "\x02\x50") }, ""},
	{"renegotiation", only12, func(in *intruder) []byte { return in.seal(typeHandshake, "\x01\x00\x00\x04\x03\x03\x00\x00") }, "no renegotiation"},
	{"renegotiations", only12, func(in *intruder) []byte {
		return many(1000, func() []byte { return in.seal(typeHandshake, "\x01\x00\x00\x00") })
	}, "no renegotiation"},
	{"a hello", only13, func(in *intruder) []byte { return in.seal(typeHandshake, "\x01\x00\x00\x04\x03\x03\x00\x00") }, "unexpected message"},
	{"Finished", tlsVersions, func(in *intruder) []byte { return in.seal(typeHandshake, "\x14\x00\x00\x20"+strings.Repeat("x", 32)) }, "unexpected message"},
	{"KeyUpdates", only13, updates(keyUpdate), "unexpected message"},
	{"KeyUpdates that ask for others", only13, updates(keyUpdateAsked), "unexpected message"},
	{"KeyUpdate in parts", only13, func(in *intruder) []byte {
		return append(in.seal(typeHandshake, keyUpdate[:2]), in.seal(typeHandshake, keyUpdate[2:])...)
	}, "unexpected message"},
	{"two KeyUpdates in one", only13, func(in *intruder) []byte { return in.seal(typeHandshake, keyUpdate+keyUpdate) }, "unexpected message"},
	{"KeyUpdate with TLS 1.2", only12, func(in *intruder) []byte { return in.seal(typeHandshake, keyUpdate) }, "unexpected message"},
	{"KeyUpdate that asks for something else", only13, func(in *intruder) []byte { return in.seal(typeHandshake, "\x18\x00\x00\x01\x02") }, "illegal parameter"},
	{"a key not announced", only13, func(in *intruder) []byte { in.update(); return in.seal(typeData, "G") }, "bad record MAC"},
	{"an unknown type", tlsVersions, func(in *intruder) []byte { return in.seal(24, "\x01\x00\x01x") }, "unexpected message"}, // heartbeat
}

// TestHostileRecords: each misdeed ends the connection with the right alert, at once and
// byte by byte, whether the client reads or not, waits for a request or is a subscriber. A
// healthy subscriber goes on, and nothing is left.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary)
	p := d.newProbeTLS()
	calm := d.calm()
	type attempt struct {
		*misdeed
		version uint16
		way     int // bits: subscribed, byte by byte, reads nothing
	}
	var all []attempt
	for i := range misdeeds {
		for _, version := range misdeeds[i].versions {
			for way := range 8 {
				all = append(all, attempt{&misdeeds[i], version, way})
			}
		}
	}
	over := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		err := inTurns(16, len(all), func(i int) error {
			a := all[i]
			if err := a.commit(d.front, a.version, a.way&1 > 0, a.way&2 > 0, a.way&4 > 0); err != nil {
				return fmt.Errorf("%s, %s, way %d: %w", a.about, tls.VersionName(a.version), a.way, err)
			}
			return nil
		})
		ended.Store(true)
		over <- err
	}()
	if _, err := p.run(func(n int) bool { return n > 10 && ended.Load() }); err != nil {
		t.Fatalf("the healthy channel: %v", err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	calm.back()
	if s := d.stats(); s.Closed["tls"] != len(all) || s.TLS["front"].Handshakes["ok"] != len(all)+2 {
		t.Errorf("%d were closed for TLS, want %d; handshakes %v", s.Closed["tls"], len(all), s.TLS["front"].Handshakes)
	}
}

// commit does the handshake and then what is not right.
func (m *misdeed) commit(addr string, version uint16, subscribed, slow, deaf bool) error {
	in, err := intrude(addr, version)
	if err != nil {
		return err
	}
	defer in.nc.Close()
	_ = in.nc.SetDeadline(time.Now().Add(patience))
	if subscribed {
		if _, err := in.nc.Write(in.seal(typeData, streamRequest)); err != nil {
			return err
		}
		s := &stream{nc: in.Conn}
		if err := s.readHead(); err != nil {
			return err
		}
	}
	text := string(m.bytes(in))
	if slow {
		go send(in.nc, text[:min(len(text), 5000)], true)
	} else {
		send(in.nc, text, false)
	}
	if deaf { // the end comes all the same
		return waitEnd(in.nc)
	}
	_, err = io.ReadAll(in)
	switch {
	case m.told == "" && err == io.ErrUnexpectedEOF, m.told == "" && err == nil:
	case m.told == "" || err == nil || !strings.Contains(err.Error(), m.told):
		return fmt.Errorf("the connection ended with %v, want %q", err, m.told)
	}
	return nil
}

// waitEnd reads what there is, whatever it is, up to the end of the connection.
func waitEnd(nc net.Conn) error {
	_, err := io.Copy(io.Discard, nc)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return errors.New("the connection stays open")
	}
	return nil
}

// TestHalfRecords: a part of a record has the time of a request. Empty records and new keys
// in between do not buy more than a few times that.
func TestHalfRecords(t *testing.T) {
	t.Parallel()
	d := startTLS(t, servertest.Binary, "LIMITS_REQUEST_TIMEOUT=500ms", "LIMITS_IDLE_TIMEOUT=1h")
	calm := d.calm()
	n := sized(20, 1000)
	err := errorsOf(n, func(i int) error {
		in, err := intrude(d.front, tlsVersions[i%2])
		if err != nil {
			return err
		}
		defer in.nc.Close()
		_ = in.nc.SetDeadline(time.Now().Add(patience))
		end := make(chan error, 1)
		go func() {
			answer, err := io.ReadAll(in)
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
				err = fmt.Errorf("%.60q, %w", answer, errors.Join(err))
			}
			end <- err
		}()
		// Each record begins in one segment and ends in the next, with the begin of another.
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		var rest []byte
		for j := 0; ; j++ {
			text := "X"
			if i%4 < 2 && j < 20 {
				text = ""
			}
			b := in.seal(typeData, text)
			if _, err := in.nc.Write(append(rest, b[:len(b)/2]...)); err != nil {
				return <-end
			}
			rest = b[len(b)/2:]
			select {
			case err := <-end:
				return err
			case <-tick.C:
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	calm.back()
	if s := d.stats(); s.Closed["request_timeout"] != n {
		t.Errorf("%d were closed by the deadline, want %d", s.Closed["request_timeout"], n)
	}
}
