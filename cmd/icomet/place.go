package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"icomet/client"
	"icomet/internal/tlsclient"
)

// place is where the server is, as the flags say.
type place struct {
	front, admin, keyFile string
	ca, cert, certKey     string // files
	getenv                func(string) string

	giveUp  context.CancelCauseFunc // ends the command
	reached bool                    // by the command's goroutine: there was an answer
}

// failed is told of what a command tries again after, and ends it if TLS fails before there
// was any answer: more flags are wanted then, not more tries. (Later it may be a mistake in
// exchanging certificates that somebody is about to correct.)
func (p *place) failed(err error) {
	if !p.reached && (unverified(err) || wantsCertificate(err)) {
		p.giveUp(&hopelessError{err})
	}
}

// hopeless is what failed has ended the command of ctx for, or nil. The server has taken
// nothing then.
func hopeless(ctx context.Context) error {
	if e, ok := errors.AsType[*hopelessError](context.Cause(ctx)); ok {
		return e.error
	}
	return nil
}

// hopelessError is why a command has been given up.
type hopelessError struct{ error }

func (e *hopelessError) Unwrap() error { return e.error }

// unverified: the certificate of the server is not trusted.
func unverified(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// wantsCertificate: the server does not trust that of the client, or has got none. The
// alerts are those of TLS 1.3 and 1.2.
func wantsCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "remote error: tls: certificate required") || strings.Contains(text, "remote error: tls: bad certificate") ||
		strings.Contains(text, "remote error: tls: unknown certificate authority")
}

// The server has the same variables, so that both agree in one shell.
const (
	frontVariable    = "ICOMET_FRONT_LISTEN"
	frontTLSVariable = "ICOMET_FRONT_TLS_CERTIFICATES"
	adminVariable    = "ICOMET_ADMIN_LISTEN"
	adminTLSVariable = "ICOMET_ADMIN_TLS_CERTIFICATES"
	keysVariable     = "ICOMET_ADMIN_KEYS"
)

// frontURL is the URL of the front port.
func (p *place) frontURL() (string, error) {
	return p.address("--front", p.front, frontVariable, frontTLSVariable, "127.0.0.1:8100")
}

// adminClient returns a client for the admin port.
func (p *place) adminClient() (*client.Admin, error) {
	u, err := p.address("--admin", p.admin, adminVariable, adminTLSVariable, "127.0.0.1:8000")
	if err != nil {
		return nil, err
	}
	key, _, _ := strings.Cut(p.getenv(keysVariable), ",")
	if p.keyFile != "" {
		b, err := os.ReadFile(p.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--key-file: %w", err)
		}
		key, _, _ = strings.Cut(strings.TrimPrefix(string(b), "\ufeff"), "\n") // editors write a byte order mark
		if key = strings.TrimSpace(key); key == "" {
			return nil, fmt.Errorf("--key-file %s: its first line is empty", p.keyFile)
		}
	}
	own, err := p.http()
	if err != nil {
		return nil, err
	}
	return &client.Admin{URL: u, Key: strings.TrimSpace(key), HTTP: own}, nil
}

// http is a client with what the flags say about TLS. nil: they say nothing.
func (p *place) http() (*http.Client, error) {
	if p.certKey != "" && p.cert == "" {
		return nil, errors.New("--cert-key: needs --cert, the certificate")
	}
	config, err := tlsclient.Config(p.ca, p.cert, p.certKey)
	if err != nil || config == nil {
		return nil, err
	}
	return tlsclient.HTTP(config), nil
}

// address makes a URL of the first that is set of the flag, the variable and the default. A
// server that listens on all addresses is reached on this machine's own. It has TLS when
// its own variable for certificates is set; but what a flag names may be another server.
func (p *place) address(flag, byFlag, variable, tlsVariable, otherwise string) (string, error) {
	text, source, scheme := byFlag, flag, "http://"
	if text == "" {
		text, source = p.getenv(variable), variable
		if strings.Trim(p.getenv(tlsVariable), ", ") != "" {
			scheme = "https://"
		}
	}
	if text == "" {
		text = otherwise
	}
	if strings.Contains(text, "://") {
		return strings.TrimSuffix(text, "/"), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return "", fmt.Errorf("%s %q: want host:port or a URL, like 127.0.0.1:8100", source, text)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return scheme + net.JoinHostPort(host, port), nil
}
