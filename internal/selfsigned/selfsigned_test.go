package selfsigned

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := New("test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestMutual: a server and a client that have their certificates from files trust each
// other, by name and by address, and nobody else.
func TestMutual(t *testing.T) {
	a, dir := authority(t), t.TempDir()
	pair, err := a.Server("push.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pair.Write(dir, "server")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{loaded}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	me, err := a.Client("me")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := authority(t).Client("me")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c *tls.Config) (string, error) {
		transport := &http.Transport{TLSClientConfig: c}
		defer transport.CloseIdleConnections()
		answer, err := (&http.Client{Transport: transport}).Get(s.URL)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}
	for _, name := range []string{"", "push.test"} {
		if got, err := ask(&tls.Config{RootCAs: a.Pool(), ServerName: name, Certificates: []tls.Certificate{me.TLS()}}); err != nil || got != "me" {
			t.Errorf("server name %q: %q, %v, want me", name, got, err)
		}
	}
	for what, c := range map[string]*tls.Config{
		"no certificate":        {RootCAs: a.Pool()},
		"certificate of others": {RootCAs: a.Pool(), Certificates: []tls.Certificate{stranger.TLS()}},
		"unknown authority":     {Certificates: []tls.Certificate{me.TLS()}},
		"other name":            {RootCAs: a.Pool(), ServerName: "other.test", Certificates: []tls.Certificate{me.TLS()}},
	} {
		if got, err := ask(c); err == nil {
			t.Errorf("%s: got %q", what, got)
		}
	}
}

// TestFiles: only the owner can read them; one file can have both, with either kind of
// key; an authority's file makes a pool.
func TestFiles(t *testing.T) {
	a, dir := authority(t), t.TempDir()
	for name, ofRSA := range map[string]bool{"ec": false, "rsa": true} {
		pair, err := a.Issue(Options{Names: []string{"push.test"}, RSA: ofRSA})
		if err != nil {
			t.Fatal(err)
		}
		path, err := pair.WriteBoth(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.LoadX509KeyPair(path, path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	path, err := a.Write(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
		t.Errorf("%s: %v, no certificate in %q", path, err, text)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Errorf("files: %q, %v, want 3", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info, err)
		}
	}
}

// TestDates: who asks for it gets a certificate of the past.
func TestDates(t *testing.T) {
	from, to := time.Now().Add(-48*time.Hour).Truncate(time.Second), time.Now().Add(-24*time.Hour).Truncate(time.Second)
	pair, err := authority(t).Issue(Options{Names: []string{"push.test"}, NotBefore: from, NotAfter: to})
	if err != nil {
		t.Fatal(err)
	}
	if !pair.Leaf.NotBefore.Equal(from) || !pair.Leaf.NotAfter.Equal(to) {
		t.Errorf("valid from %v to %v, want %v to %v", pair.Leaf.NotBefore, pair.Leaf.NotAfter, from, to)
	}
}
