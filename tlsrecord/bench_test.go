package tlsrecord

import (
	"crypto/tls"
	"testing"
)

func BenchmarkSealer(b *testing.B) {
	for _, id := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		b.Run(tls.CipherSuiteName(id), func(b *testing.B) {
			s, _ := TLS13(id, make([]byte, suites[id].hash), make([]byte, suites[id].hash), 0)
			b.ReportAllocs()
			for b.Loop() {
				s.Sealer()
			}
		})
	}
}
