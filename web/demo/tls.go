package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"icomet/internal/selfsigned"
)

// certificateName is the name of the files in the folder, and authorityName that of the
// authority.
const (
	certificateName = "demo"
	authorityName   = "authority"
)

// makeCertificate makes an authority and a certificate for what listens at listen, on this
// machine or on all its addresses. The authority's key is forgotten, so that nobody can
// make another certificate with it.
func makeCertificate(dir, listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("-listen %s: %w", listen, err)
	}
	names := []string{"localhost", "127.0.0.1", "::1"}
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || err == nil && ip.IsUnspecified():
		names = append(names, ownAddresses()...)
	case err != nil || !ip.IsLoopback():
		names = append(names, host)
	}
	authority, err := selfsigned.New("icomet demo")
	if err != nil {
		return err
	}
	if _, err := authority.Write(dir, authorityName); err != nil {
		return err
	}
	pair, err := authority.Server(names...)
	if err != nil {
		return err
	}
	_, _, err = pair.Write(dir, certificateName)
	return err
}

// overTLS makes a listener's clients speak TLS, with the certificate in dir.
func overTLS(ln net.Listener, dir string) (net.Listener, error) {
	file := filepath.Join(dir, certificateName)
	pair, err := tls.LoadX509KeyPair(file+".pem", file+".key")
	if err != nil {
		return nil, fmt.Errorf("-tls: %w", err)
	}
	return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}}), nil
}

// tlsHint says why the browser warns. Firefox asks for each port; Chromium once for a host.
func tlsHint(dir string, front *url.URL) string {
	return fmt.Sprintf("  The certificate was made just now, so the browser asks whether to trust it. Firefox asks for each\n"+
		"  port: open %s/ping as well. Or import the authority %s.\n",
		strings.TrimSuffix(front.String(), "/"), filepath.Join(dir, authorityName+".pem"))
}
