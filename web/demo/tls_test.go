package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icomet/client"
	"icomet/internal/tlsclient"
	"icomet/server/servertest"
)

// TestCertificate: who imports the authority reaches the page by https, and the page sends
// the browser to a front port with TLS; the session's cookie never goes in the clear.
func TestCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeCertificate(dir, "127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"authority.pem", "demo.pem", "demo.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := overTLS(plain, dir)
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t)
	front, err := url.Parse("https://127.0.0.1:8100")
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(newApp(front, &client.Admin{URL: s.Admin}).handler())
	web.Listener.Close()
	web.Listener = ln
	web.Start()
	t.Cleanup(web.Close)
	at := "https://" + ln.Addr().String()
	config, err := tlsclient.Config(filepath.Join(dir, "authority.pem"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	browser := tlsclient.HTTP(config)
	t.Cleanup(browser.CloseIdleConnections)

	answer, err := browser.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(page), `data-front="https://127.0.0.1:8100"`) {
		t.Errorf("the page, %v: %s", err, page)
	}
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' https://127.0.0.1:8100 wss://127.0.0.1:8100;") {
		t.Errorf("policy %s", policy)
	}
	answer, err = browser.PostForm(at+"/join", url.Values{"room": {"lobby"}, "name": {"Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if cookies := answer.Cookies(); answer.StatusCode != http.StatusOK || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("join: %s, cookies %v, want one that is secure", answer.Status, cookies)
	}
}

// TestCertificateNames: it is for this machine and what -listen names.
func TestCertificateNames(t *testing.T) {
	for listen, want := range map[string][]string{
		"127.0.0.1:8080":    {"127.0.0.1", "::1", "localhost"},
		"box.local:8080":    {"127.0.0.1", "::1", "box.local", "localhost"},
		"198.51.100.7:8080": {"127.0.0.1", "198.51.100.7", "::1", "localhost"},
		"0.0.0.0:8080":      append(ownAddresses(), "127.0.0.1", "::1", "localhost"),
	} {
		dir := t.TempDir()
		if err := makeCertificate(dir, listen); err != nil {
			t.Errorf("%s: %v", listen, err)
			continue
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "demo.pem"), filepath.Join(dir, "demo.key"))
		if err != nil {
			t.Fatal(err)
		}
		if got := namesOf(pair.Leaf); !slices.Equal(got, sorted(want)) {
			t.Errorf("%s: for %q, want %q", listen, got, sorted(want))
		}
	}
	if err := makeCertificate(t.TempDir(), "nonsense"); err == nil || !strings.Contains(err.Error(), "-listen nonsense") {
		t.Errorf("nonsense: %v", err)
	}
}

func namesOf(c *x509.Certificate) (names []string) {
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return sorted(names)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
