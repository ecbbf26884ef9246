package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartTLS starts a server that speaks TLS only, with a self-signed certificate for
// 127.0.0.1; ca is its file. password is the default user's; "" for none.
func StartTLS(t testing.TB, password string, args ...string) (s *Server, ca string) {
	t.Helper()
	ca, key := Certificate(t)
	s = prepare(t, append([]string{
		"--port", "0", "--tls-cert-file", ca, "--tls-key-file", key, "--tls-auth-clients", "no",
	}, args...)...)
	s.cli = []string{"--tls", "--cacert", ca}
	if password != "" {
		s.args = append(s.args, "--requirepass", password)
		s.cli = append(s.cli, "--no-auth-warning", "-a", password)
	}
	s.Start()
	return s, ca
}

func (s *Server) portOption() string {
	if len(s.cli) > 0 && s.cli[0] == "--tls" {
		return "--tls-port"
	}
	return "--port"
}

// Certificate makes a self-signed certificate for 127.0.0.1, and its key.
func Certificate(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "redistest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", secret)
}
