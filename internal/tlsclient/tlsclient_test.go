package tlsclient

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icomet/internal/selfsigned"
)

// TestConfig: with the files a client reaches a server that wants a certificate of its
// authority, with the key in either place; without them it does not.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	a, err := selfsigned.New("test")
	if err != nil {
		t.Fatal(err)
	}
	own, err := a.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	me, err := a.Client("me")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := a.Write(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := me.Write(dir, "me")
	if err != nil {
		t.Fatal(err)
	}
	both, err := me.WriteBoth(dir, "both")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ca, cert, key string
		works         bool
	}{
		{ca, cert, key, true}, {ca, both, "", true},
		{"", cert, key, false}, {ca, "", "", false}, {"", "", "", false},
	} {
		config, err := Config(c.ca, c.cert, c.key)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		answer, err := HTTP(config).Get(s.URL)
		if (err == nil) != c.works {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		name, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if string(name) != "me" || err != nil {
			t.Errorf("%+v: the server sees %q, %v", c, name, err)
		}
	}
}

// TestMistakes: the error names the file.
func TestMistakes(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ca, cert, key, want string }{
		{"/missing", "", "", "open /missing: no such file"},
		{empty, "", "", empty + " has no certificate in PEM"},
		{"", "/missing", "", "/missing: open /missing: no such file"},
		{"", empty, "/missing", empty + ": open /missing"},
		{"", empty, "", empty + ": tls: failed to find any PEM data"},
	} {
		if _, err := Config(c.ca, c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
