package secure

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
	"testing/synctest"
)

// FuzzFeed feeds what it likes: as the first record, or behind a true hello of TLS 1.2 or
// 1.3. Nothing panics, and each handshake ends when it is aborted, if not before.
func FuzzFeed(f *testing.F) {
	s := newSite(f, nil)
	material := s.load()
	var hellos [2][]byte
	for i, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := s.clientConfig()
		config.MaxVersion = version
		hellos[i] = helloOf(f, config)
		f.Add(byte(2), byte(0), hellos[i])
	}
	f.Add(byte(0), byte(0), []byte("\x16\x03\x03\x00\x26\x10\x00\x00\x22\x21\x04234567890123456789012345678901234567890"))
	f.Add(byte(0), byte(3), []byte("\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x10abcdefghijklmnop"))
	f.Add(byte(1), byte(1), []byte("\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x20abcdefghijklmnopabcdefghijklmnop"))
	f.Add(byte(1), byte(7), []byte("\x15\x03\x03\x00\x02\x01\x00"))
	f.Add(byte(1), byte(9), []byte("\x16\x03\x03\xff\xff"))
	f.Fuzz(func(t *testing.T, from, piece byte, data []byte) {
		first := data
		if from < 2 {
			first = hellos[from]
		} else {
			data = nil
		}
		synctest.Test(t, func(t *testing.T) {
			port, m := NewPort(material, NewComputing(1)), new(mute)
			h, err := port.Start(localhost, bytes.Clone(first), m)
			if err != nil {
				if !errors.Is(err, ErrNoHandshake) {
					t.Error(err)
				}
				return
			}
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+int(piece))
				if h.Feed(rest[:n]) != nil {
					break
				}
				rest = rest[n:]
			}
			synctest.Wait()
			h.Abort()
			synctest.Wait()
			switch {
			case m.result == nil:
				t.Error("the handshake goes on after it was aborted")
			case m.result.Err == nil:
				t.Error("the handshake went well")
			default:
				if p, ok := errors.AsType[*Panic](m.result.Err); ok {
					t.Errorf("panic: %v\n%s", p.Value, p.Stack)
				}
			}
		})
	})
}
