package health

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

func TestURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8000": "http://127.0.0.1:8000",
		"0.0.0.0:8000":   "http://127.0.0.1:8000",
		":8000":          "http://127.0.0.1:8000",
		"[::]:8000":      "http://[::1]:8000",
		"[::1]:8000":     "http://[::1]:8000",
		"10.0.0.1:1":     "http://10.0.0.1:1",
		"admin:8000":     "http://admin:8000",
	} {
		if got, err := URL(listen, false); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", listen, got, err, want)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "8000", ""} {
		if got, err := URL(listen, false); err == nil {
			t.Errorf("%q: got %s", listen, got)
		}
	}
}

// TestURLWithTLS: a server whose port has TLS is asked by it.
func TestURLWithTLS(t *testing.T) {
	if got, err := URL("0.0.0.0:8443", true); err != nil || got != "https://127.0.0.1:8443" {
		t.Errorf("got %s, %v", got, err)
	}
	for arg, want := range map[string]bool{"http://a": true, "https://a": true, "config.toml": false, "https.toml": false} {
		if got := IsURL(arg); got != want {
			t.Errorf("%s is a URL: %v", arg, got)
		}
	}
}

// TestCheckTLS: whoever signed the certificate, and whatever name it is for.
func TestCheckTLS(t *testing.T) {
	a, err := selfsigned.New("unknown")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Server("push.test")
	if err != nil {
		t.Fatal(err)
	}
	ready := true
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
	s.StartTLS()
	t.Cleanup(s.Close)
	if err := Check(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
	ready = false
	if err := Check(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: not yet") {
		t.Errorf("while it is not ready: %v", err)
	}
}

// TestProcessTLS: the configuration says whether the admin port has TLS; a plain address
// beside it comes first, and is needed when clients must have a certificate.
func TestProcessTLS(t *testing.T) {
	t.Parallel()
	a, err := selfsigned.New("unknown")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Server("push.test")
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	tlsOn := []string{"ICOMET_ADMIN_LISTEN=" + secure.Listener.Addr().String(), "ICOMET_ADMIN_TLS_CERTIFICATES=a.pem"}
	if status, out := check(t, tlsOn); status != 1 || !strings.Contains(out, "https://") || !strings.Contains(out, "404 Not Found") {
		t.Errorf("by TLS: status %d, %s", status, out)
	}
	mutual := append(tlsOn, "ICOMET_ADMIN_TLS_CLIENT_CA=ca.pem")
	if status, out := check(t, mutual); status != 1 || !strings.Contains(out, "set admin.tls.listen_plain") {
		t.Errorf("with client_ca: status %d, %s", status, out)
	}
	if status, out := check(t, append(mutual, "ICOMET_ADMIN_TLS_LISTEN_PLAIN="+plain.Listener.Addr().String())); status != 0 || out != "" {
		t.Errorf("with a plain address: status %d, %s", status, out)
	}
}

// TestCheck: only 200 is good; a proxy of the environment is not asked, and a redirect is
// not followed.
func TestCheck(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			http.Error(w, "memory is short", http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	for path, want := range map[string]string{
		"": "503 Service Unavailable: memory is short", "/": "503 Service Unavailable: memory is short", "/moved": "302 Found", "/good": "",
	} {
		err := Check(t.Context(), s.URL+path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	if err := Check(t.Context(), nobody); err == nil {
		t.Error("good without a server")
	}
}

// check runs "icomet-server -health" and returns its exit status and what it said.
func check(t *testing.T, environ []string, args ...string) (status int, out string) {
	t.Helper()
	cmd := servertest.Command(t, servertest.Binary, environ, append([]string{"-health"}, args...)...)
	b, _ := cmd.CombinedOutput() // how it ended is in ProcessState
	return cmd.ProcessState.ExitCode(), string(b)
}

// TestProcess: the command finds the server by its configuration, the file and the
// environment, or by a URL; and it is not well while it drains.
func TestProcess(t *testing.T) {
	t.Parallel()
	p := servertest.Launch(t, servertest.Command(t, servertest.Binary, []string{
		"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0", "ICOMET_LIMITS_DRAIN_DELAY=1h",
	}))
	address := p.Address("admin")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte("admin.listen = \"0.0.0.0:"+port+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ways := []struct{ environ, args []string }{
		{nil, []string{file}},
		{[]string{"ICOMET_ADMIN_LISTEN=" + address}, nil},
		{nil, []string{"http://" + address}},
	}
	for _, w := range ways {
		servertest.CheckFor(t, servertest.Patience, func() error { return Check(t.Context(), "http://"+address) })
		if status, out := check(t, w.environ, w.args...); status != 0 || out != "" {
			t.Errorf("%v: status %d, %s", w, status, out)
		}
	}
	p.Send(syscall.SIGTERM)
	p.WaitLog("draining", 1)
	for _, w := range ways {
		if status, out := check(t, w.environ, w.args...); status != 1 || !strings.Contains(out, "503 Service Unavailable: the server is shutting down") {
			t.Errorf("%v, while it drains: status %d, %s", w, status, out)
		}
	}
	for _, args := range [][]string{{"-t"}, {"-s", "reload"}} {
		if status, out := check(t, nil, args...); status != 2 || !strings.Contains(out, "do not go together") {
			t.Errorf("%v: status %d, %s", args, status, out)
		}
	}
}
