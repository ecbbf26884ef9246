package secure

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Settings are what a port's TLS is made of.
type Settings struct {
	Certificates []Pair        // several are chosen by server name, the first is the default
	MinVersion   uint16        // tls.VersionTLS13 or tls.VersionTLS12
	ClientCA     string        // a file; "" asks clients for no certificate
	Curves       []tls.CurveID // empty: Go's defaults
	Handshakes   int           // in flight at once, at least 1
}

// Pair names the PEM files of a certificate, with its chain, and of its key. Key "": both
// are in one file.
type Pair struct{ Certificate, Key string }

// Material is what has been read. It is immutable.
type Material struct {
	config     *tls.Config // cloned for each connection
	infos      []Info
	handshakes int
}

// Info is what an operator wants to know of a certificate.
type Info struct {
	File     string
	Names    []string  // host names and addresses that it is valid for
	NotAfter time.Time // when it ends, or before that one of those above it in the file
}

// suites12 are the suites of TLS 1.2 that the record layer can take over: AEAD, and with
// forward secrecy. Those of TLS 1.3 cannot be chosen, and are all supported.
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Load reads and checks the files. An error is a sentence that names the file.
func Load(s Settings) (*Material, error) {
	switch {
	case fips140.Enforced():
		return nil, errors.New("TLS cannot be had with GODEBUG=fips140=only: the records are sealed with nonces that Go's module does not choose itself; use fips140=on")
	case len(s.Certificates) == 0:
		return nil, errors.New("no certificate is named")
	}
	m := &Material{handshakes: max(1, s.Handshakes), config: &tls.Config{
		MinVersion:       s.MinVersion,
		CipherSuites:     suites12,
		CurvePreferences: slices.Clone(s.Curves),
		NextProtos:       []string{"http/1.1", "http/1.0"}, // curl --http1.0 offers only the latter
	}}
	for _, pair := range s.Certificates {
		cert, err := loadPair(pair)
		if err != nil {
			return nil, err
		}
		m.config.Certificates = append(m.config.Certificates, cert)
		m.infos = append(m.infos, infoOf(pair.Certificate, &cert))
	}
	if s.ClientCA != "" {
		pool, err := loadAuthorities(s.ClientCA)
		if err != nil {
			return nil, err
		}
		m.config.ClientCAs, m.config.ClientAuth = pool, tls.RequireAndVerifyClientCert
		// Whoever resumes is not asked for a certificate again, so that an authority
		// that a reload takes away would still let its clients in for a week.
		m.config.SessionTicketsDisabled = true
	}
	return m, nil
}

// Certificates tells of each certificate, in the order of the settings.
func (m *Material) Certificates() []Info { return slices.Clone(m.infos) }

func loadPair(pair Pair) (cert tls.Certificate, err error) {
	r, keyFile := public, pair.Key
	if keyFile == "" {
		r, keyFile = secret, pair.Certificate
	}
	chain, err := readFile(pair.Certificate, r)
	if err != nil {
		return cert, err
	}
	if err := checkChain(chain); err != nil {
		return cert, fmt.Errorf("%s: %w", pair.Certificate, err)
	}
	key := chain
	if pair.Key != "" {
		if key, err = readFile(pair.Key, secret); err != nil {
			return cert, err
		}
	}
	if err := checkKey(key); err != nil {
		return cert, fmt.Errorf("%s: %w", keyFile, err)
	}
	if cert, err = tls.X509KeyPair(chain, key); err != nil {
		return cert, fmt.Errorf("%s with the key in %s: %s", pair.Certificate, keyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if err := anyone.SupportsCertificate(&cert); err != nil {
		return cert, fmt.Errorf("%s: no client could use this kind of certificate: %s", pair.Certificate, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return cert, nil
}

// anyone is a client that supports what there is.
var anyone = tls.ClientHelloInfo{
	SupportedVersions: []uint16{tls.VersionTLS13},
	CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
	SupportedCurves:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	SignatureSchemes: []tls.SignatureScheme{
		tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512, tls.Ed25519,
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
	},
}

// checkChain looks at the certificates of a file, of which the first is the server's.
func checkChain(data []byte) error {
	ders := certificateBlocks(data)
	if len(ders) == 0 {
		return errors.New("there is no certificate in it (PEM, BEGIN CERTIFICATE)")
	}
	for i, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %d of the file cannot be read: %w", i+1, err)
		}
		if err := checkDates(cert); i == 0 && err != nil {
			return err
		}
	}
	return nil
}

func checkDates(cert *x509.Certificate) error {
	const layout = "2006-01-02 15:04 UTC"
	switch now := time.Now(); {
	case now.After(cert.NotAfter):
		return fmt.Errorf("the certificate has expired (%s)", cert.NotAfter.UTC().Format(layout))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", cert.NotBefore.UTC().Format(layout))
	}
	return nil
}

// loadAuthorities reads those whose signature a client's certificate must have. Some of
// them may have expired, as in bundles, but not all.
func loadAuthorities(path string) (*x509.CertPool, error) {
	data, err := readFile(path, trusted)
	if err != nil {
		return nil, err
	}
	pool, dates := x509.NewCertPool(), errors.New("there is no certificate in it (PEM, BEGIN CERTIFICATE)")
	for i, der := range certificateBlocks(data) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d of the file cannot be read: %w", path, i+1, err)
		}
		if err := checkDates(cert); i == 0 || err == nil {
			dates = err
		}
		pool.AddCert(cert)
	}
	if dates != nil {
		return nil, fmt.Errorf("%s: %w", path, dates)
	}
	return pool, nil
}

func infoOf(file string, cert *tls.Certificate) Info {
	names := slices.Clone(cert.Leaf.DNSNames)
	for _, a := range cert.Leaf.IPAddresses {
		names = append(names, a.String())
	}
	ends := cert.Leaf.NotAfter
	for _, der := range cert.Certificate[1:] {
		if above, err := x509.ParseCertificate(der); err == nil && above.NotAfter.Before(ends) {
			ends = above.NotAfter
		}
	}
	return Info{File: file, Names: names, NotAfter: ends}
}
