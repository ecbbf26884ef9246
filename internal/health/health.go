// Package health asks a running server whether it is ready: for containers, whose image
// has no other program that could ask.
package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// timeout is for the whole call. A server that needs longer is not well.
const timeout = 5 * time.Second

// maxAnswer is how much of an answer is shown, in bytes.
const maxAnswer = 1024

// IsURL says whether an argument names a server and not a file.
func IsURL(arg string) bool {
	return strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://")
}

// URL is where a server on this machine answers that listens at listen, host:port, with or
// without TLS. One that listens on all addresses is asked on the loopback.
func URL(listen string, secure bool) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", fmt.Errorf("%s has port 0, so the port is unknown; name it: -health http://HOST:PORT", listen)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// Check is nil if /readyz of the server at base answers 200, and else says why not. A
// base with a path is asked as it is.
//
// The certificate of a server with TLS is not verified: it is for the name that clients
// use, not for the address that is asked here, and the image of a container may have no
// authorities. Nothing secret is sent, and all that is believed is whether it is ready.
func Check(ctx context.Context, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	// Without the proxy that the environment may name, and without following redirects:
	// the answer is to be the server's own.
	answer, err := (&http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s: %w", u, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", u, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", u, answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
