package servertest

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"icomet/internal/selfsigned"
)

// TLSVariable has the tests of this package's callers run over TLS: "1.3" or "1.2". Without
// it they run in plain.
const TLSVariable = "ICOMET_TEST_TLS"

// certificateName is what clients ask for: servers of tests have all kinds of addresses, of
// which only the usual ones are in the certificate, for programs like curl.
const certificateName = "icomet.test"

var tlsVersion = func() string {
	v := os.Getenv(TLSVariable)
	if v != "" && v != "1.2" && v != "1.3" {
		panic(fmt.Sprintf("%s=%q, want 1.3, 1.2 or nothing", TLSVariable, v))
	}
	return v
}()

// TLS says whether servers and connections of the tests are over TLS.
func TLS() bool { return tlsVersion != "" }

// TLSVersion is the only version that the connections of the tests speak, "" in plain.
func TLSVersion() string { return tlsVersion }

// URL is the root of what listens at host:port.
func URL(addr string) string {
	if TLS() {
		return "https://" + addr
	}
	return "http://" + addr
}

// HostPort is the address in a URL of a server's root.
func HostPort(url string) string {
	_, addr, _ := strings.Cut(url, "://")
	return addr
}

// identity is what servers of this process's tests show, and clients trust.
type identity struct {
	ca     *selfsigned.Authority
	server *selfsigned.Pair
	caFile string
	pair   string // for certificates in the configuration
}

var testIdentity = sync.OnceValue(func() identity {
	dir, err := buildDir()
	if err != nil {
		panic(err)
	}
	ca, err := selfsigned.New("icomet tests")
	if err != nil {
		panic(err)
	}
	caFile, err := ca.Write(dir, "ca")
	if err != nil {
		panic(err)
	}
	issued, err := ca.Server(certificateName, "127.0.0.1", "::1", "localhost")
	if err != nil {
		panic(err)
	}
	certificate, key, err := issued.Write(dir, "server")
	if err != nil {
		panic(err)
	}
	return identity{ca, issued, caFile, certificate + ":" + key}
})

// Certificate is that of the tests' servers, as an element of certificates in the
// configuration.
func Certificate() string { return testIdentity().pair }

// AuthorityFile is what clients have to trust for Certificate.
func AuthorityFile() string { return testIdentity().caFile }

// CertificateHash is what Chromium's ignore-certificate-errors-spki-list knows Certificate
// by.
func CertificateHash() string {
	sum := sha256.Sum256(testIdentity().server.Leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// ServerTLS is for a server of a test's own with Certificate.
func ServerTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testIdentity().server.TLS()}}
}

// ClientTLS trusts Certificate. In a plain run it takes either version.
func ClientTLS() *tls.Config {
	c := &tls.Config{RootCAs: testIdentity().ca.Pool(), ServerName: certificateName, MinVersion: tls.VersionTLS12}
	switch tlsVersion {
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	case "1.2":
		c.MaxVersion = tls.VersionTLS12
	}
	return c
}

// clientTLS is a ClientTLS that is shared; nil in plain.
var clientTLS = sync.OnceValue(func() *tls.Config {
	if !TLS() {
		return nil
	}
	return ClientTLS()
})

// Transport is for clients of the tests' servers that need a pool of their own.
func Transport() *http.Transport { return &http.Transport{TLSClientConfig: clientTLS()} }

// trust has http.Get and its like take Certificate.
func trust() {
	if TLS() {
		http.DefaultTransport.(*http.Transport).TLSClientConfig = ClientTLS()
	}
}

// tlsEnviron is what a server process needs for TLS on both ports.
func tlsEnviron() []string {
	if !TLS() {
		return nil
	}
	return certificates(tlsVersion)
}

// certificates is what a server process needs for TLS from this version on.
func certificates(oldest string) (environ []string) {
	for _, port := range []string{"FRONT", "ADMIN"} {
		environ = append(environ, "ICOMET_"+port+"_TLS_CERTIFICATES="+Certificate(), "ICOMET_"+port+"_TLS_MIN_VERSION="+oldest)
	}
	return environ
}

// secureClient is for servers that are over TLS in every run. Each request has a connection
// of its own.
func secureClient() *http.Client {
	return &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: ClientTLS()}}
}

// Trusting is the environment with what has programs trust Certificate: all that read
// OpenSSL's variables (Python, PHP), Go, curl and Node.
func Trusting() []string {
	ca := AuthorityFile()
	return append(os.Environ(), "SSL_CERT_FILE="+ca, "CURL_CA_BUNDLE="+ca, "NODE_EXTRA_CA_CERTS="+ca)
}
