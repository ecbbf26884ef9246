package tlsrecord

import (
	"crypto/tls"
	"testing"
)

var benchSuites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
	tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}

// BenchmarkSeal: 100 bytes, with a Cipher that is kept, and with one made for each record as
// for a connection that was idle.
func BenchmarkSeal(b *testing.B) {
	for _, id := range benchSuites {
		for _, kept := range []bool{true, false} {
			name := "made"
			if kept {
				name = "kept"
			}
			b.Run(name+"/"+tls.CipherSuiteName(id), func(b *testing.B) {
				s, _ := ends(b, id)
				c, p, dst := s.Sealer(), make([]byte, 100), make([]byte, 0, 200)
				b.ReportAllocs()
				for b.Loop() {
					if !kept {
						c = s.Sealer()
					}
					s.Seal(c, dst, applicationData, p)
				}
			})
		}
	}
}

func BenchmarkSealer(b *testing.B) {
	for _, id := range benchSuites {
		b.Run(tls.CipherSuiteName(id), func(b *testing.B) {
			s, _ := ends(b, id)
			b.ReportAllocs()
			for b.Loop() {
				s.Sealer()
			}
		})
	}
}
