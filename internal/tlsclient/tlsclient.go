package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

// Config is for a client that trusts the authorities in the PEM file ca ("": those of the
// system) and shows the certificate ("": none), whose key is in a file of its own or ("")
// in the same one. nil without any of them: crypto/tls's defaults.
func Config(ca, certificate, key string) (*tls.Config, error) {
	if ca == "" && certificate == "" {
		return nil, nil
	}
	c := &tls.Config{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", ca)
		}
	}
	if certificate != "" {
		if key == "" {
			key = certificate
		}
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", certificate, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// HTTP is a client with c (nil: the defaults) and otherwise like http.DefaultClient, but
// with connections of its own.
func HTTP(c *tls.Config) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c != nil {
		transport.TLSClientConfig = c
	}
	return &http.Client{Transport: transport}
}
