package selfsigned

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life is long enough for every test and every afternoon with the demo.
const life = 30 * 24 * time.Hour

// early is how long ago a certificate became valid: clocks of clients differ.
const early = time.Hour

// Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// New makes an authority with the given name, valid for 30 days.
func New(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-early), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	c, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: c, key: key, serial: 1}, nil
}

// Options are what a certificate can differ in. Zero values are the usual.
type Options struct {
	Names     []string  // DNS names and IP addresses
	NotBefore time.Time // zero: an hour ago
	NotAfter  time.Time // zero: in 30 days
	Client    bool      // for a client; it is named by Names[0]
	RSA       bool      // an RSA key of 2,048 bits; ECDSA P-256 otherwise
}

// Server makes a certificate for a server with these DNS names and IP addresses.
func (a *Authority) Server(names ...string) (*Pair, error) {
	return a.Issue(Options{Names: names})
}

// Client makes a certificate for a client.
func (a *Authority) Client(name string) (*Pair, error) {
	return a.Issue(Options{Names: []string{name}, Client: true})
}

// Issue makes a key and a certificate for it.
func (a *Authority) Issue(o Options) (*Pair, error) {
	if len(o.Names) == 0 {
		return nil, fmt.Errorf("a certificate needs a name")
	}
	key, err := newKey(o.RSA)
	if err != nil {
		return nil, err
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: o.Names[0]},
		NotBefore:    or(o.NotBefore, time.Now().Add(-early)),
		NotAfter:     or(o.NotAfter, time.Now().Add(life)),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if o.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, name := range o.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	c, err := sign(template, a.Certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &Pair{Leaf: c, Key: key}, nil
}

func newKey(ofRSA bool) (crypto.Signer, error) {
	if ofRSA {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func or(t, usual time.Time) time.Time {
	if t.IsZero() {
		return usual
	}
	return t
}

func sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return certificatePEM(a.Certificate) }

// Pool has only this authority, for who is to trust it.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Write writes the authority's certificate to dir/NAME.pem and returns that path. Its key
// is never written.
func (a *Authority) Write(dir, name string) (path string, err error) {
	path = filepath.Join(dir, name+".pem")
	return path, write(path, a.PEM())
}

// Pair is a certificate with its key.
type Pair struct {
	Leaf *x509.Certificate
	Key  crypto.Signer
}

// TLS is the pair for a crypto/tls configuration.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.Leaf.Raw}, PrivateKey: p.Key, Leaf: p.Leaf}
}

// PEM are the texts of the certificate and of its key (PKCS#8).
func (p *Pair) PEM() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, nil, err
	}
	return certificatePEM(p.Leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Write writes dir/NAME.pem and dir/NAME.key and returns both paths.
func (p *Pair) Write(dir, name string) (certificate, key string, err error) {
	c, k, err := p.PEM()
	if err != nil {
		return "", "", err
	}
	certificate, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	if err := write(certificate, c); err != nil {
		return "", "", err
	}
	return certificate, key, write(key, k)
}

// WriteBoth writes certificate and key to one file, dir/NAME.pem.
func (p *Pair) WriteBoth(dir, name string) (path string, err error) {
	c, k, err := p.PEM()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, name+".pem")
	return path, write(path, bytes.Join([][]byte{c, k}, nil))
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// write exchanges the file at once, so that a server that reloads meanwhile never reads a
// half. Only its owner can read it.
func write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".selfsigned-") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
