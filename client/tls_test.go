package client_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"icomet/client"
	"icomet/internal/selfsigned"
	"icomet/internal/tlsclient"
	"icomet/server/servertest"
)

// TestTLS: each transport and the admin calls pass TLS with an authority and a certificate
// of the user's own, also after a cut, and with wss:// in the URL.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	theirs, own := secured(t)
	admin := servertest.NewTLSProxy(t, s.Admin, theirs)
	publisher := client.Admin{URL: admin.URL, HTTP: own}
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			proxy := servertest.NewTLSProxy(t, s.Front, theirs)
			push := func(content string) {
				t.Helper()
				if err := publisher.Push(t.Context(), string(transport), content); err != nil {
					t.Fatal(err)
				}
			}
			push("one")
			for _, url := range []string{proxy.URL, strings.Replace(proxy.URL, "https://", "wss://", 1)} {
				b := receive(t, &client.Subscriber{URL: url, Channel: string(transport), Seq: 1, Transport: transport, HTTP: own})
				b.want("one")
				b.stop()
			}
			b := receive(t, &client.Subscriber{URL: proxy.URL, Channel: string(transport), Seq: 1, Transport: transport, HTTP: own})
			b.want("one")
			proxy.Cut()
			push("two")
			b.want("two")
		})
	}
}

// TestTLSUntrusted: a server that the client has no reason to trust gets no request, and
// the client says why and tries again: the server may get another certificate.
func TestTLSUntrusted(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	theirs, _ := secured(t)
	theirs.ClientAuth = tls.NoClientCert
	proxy := servertest.NewTLSProxy(t, s.Front, theirs)
	for _, transport := range client.Transports {
		b := receive(t, &client.Subscriber{URL: proxy.URL, Channel: "a", Transport: transport})
		for range 2 {
			if err := wait(t, b.failures); !strings.Contains(err.Error(), "certificate signed by unknown authority") || !client.Temporary(err) {
				t.Errorf("%s: failed with %v", transport, err)
			}
		}
	}
	err := (&client.Admin{URL: proxy.URL}).Push(t.Context(), "a", "x")
	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("Push: %v", err)
	}
}

// secured are the TLS of a server that wants certificates of clients, and a client that it
// trusts and that trusts it.
func secured(t *testing.T) (server *tls.Config, own *http.Client) {
	t.Helper()
	a, err := selfsigned.New("test")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := a.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := a.Client("client")
	if err != nil {
		t.Fatal(err)
	}
	own = tlsclient.HTTP(&tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{mine.TLS()}})
	t.Cleanup(own.CloseIdleConnections)
	return &tls.Config{
		Certificates: []tls.Certificate{theirs.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool(),
	}, own
}
