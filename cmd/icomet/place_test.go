package main

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
)

func TestAddress(t *testing.T) {
	for _, c := range []struct{ flag, variable, certificates, want string }{
		{"", "", "", "http://127.0.0.1:8100"},
		{"", "0.0.0.0:80", "", "http://127.0.0.1:80"},
		{"", "[::]:80", "", "http://[::1]:80"},
		{"", ":80", "", "http://127.0.0.1:80"},
		{"10.0.0.1:81", "10.0.0.2:82", "", "http://10.0.0.1:81"},
		{"https://push.example.com/comet/", "", "", "https://push.example.com/comet"},
		{"wss://push.example.com", "", "", "wss://push.example.com"},
		{"", "", "a.pem:a.key", "https://127.0.0.1:8100"},
		{"", ":80", "a.pem", "https://127.0.0.1:80"},
		{"", ":80", " ", "http://127.0.0.1:80"},               // as for the server
		{"10.0.0.1:81", ":80", "a.pem", "http://10.0.0.1:81"}, // that is another server
	} {
		p := &place{front: c.flag, getenv: func(name string) string {
			return map[string]string{frontVariable: c.variable, frontTLSVariable: c.certificates}[name]
		}}
		if got, err := p.frontURL(); err != nil || got != c.want {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
}

// TestTLS: commands reach a server with an authority of its own that wants a certificate,
// and say what is missing otherwise.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	dir := t.TempDir()
	a, err := selfsigned.New("test")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := a.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := a.Client("operator")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := a.Write(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := mine.Write(dir, "operator")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{theirs.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}
	front, admin := servertest.NewTLSProxy(t, s.Front, config), servertest.NewTLSProxy(t, s.Admin, config)
	there := []string{"--front", front.URL, "--admin", admin.URL, "--ca", ca}
	trusted := append(there, "--cert", cert, "--cert-key", key)

	runs(t, nil, append([]string{"pub", "news", "hello"}, trusted...)...)
	for _, transport := range []string{"stream", "ws"} {
		if got := runs(t, nil, append([]string{"sub", "news", "--seq", "1", "-n", "1", "-t", transport}, trusted...)...); got != "hello\n" {
			t.Errorf("%s: %q", transport, got)
		}
	}
	if got := runs(t, nil, append([]string{"channels"}, trusted...)...); !strings.Contains(got, "news") {
		t.Errorf("channels: %s", got)
	}
	if got := runs(t, nil, append([]string{"top", "--rounds", "1"}, trusted...)...); !strings.Contains(got, "channels") {
		t.Errorf("top: %s", got)
	}

	for _, line := range []string{"info", "sub a", "sub a -t ws", "sub a b -q", "pub a x", "pub a -", "end a x", "broadcast x", "channels", "channels --watch", "top --rounds 1"} {
		args := strings.Fields(line)
		failsReading(t, nil, "line\n", append(slices.Clone(args), "--front", front.URL, "--admin", admin.URL), "unknown authority", "--ca FILE")
		failsReading(t, nil, "line\n", append(slices.Clone(args), there...), "certificate required", "--cert FILE")
	}
	lines := start(t, nil, "line\n", append([]string{"pub", "a", "-"}, there...)...)
	if err := lines.end(); err == nil || strings.Contains(lines.stderr.String(), "not known") {
		t.Errorf("pub a -: %v, and it says %s", err, lines.stderr)
	}
	secured := servertest.StartTLS(t)
	fails(t, nil, []string{"info", "--admin", strings.Replace(secured.Admin, "https:", "http:", 1)}, "this port speaks TLS", "https://host:port")
	fails(t, nil, []string{"sub", "a", "--front", strings.Replace(secured.Front, "https:", "http:", 1)}, "this port speaks TLS", "https://host:port")
	fails(t, nil, []string{"info", "--admin", strings.Replace(s.Admin, "http:", "https:", 1), "--ca", ca}, "That port has no TLS", "http://host:port")
	fails(t, nil, []string{"info", "--ca", dir + "/none"}, dir+"/none", "no such file")
	fails(t, nil, []string{"sub", "a", "--cert", ca}, ca, "private key")
	fails(t, nil, []string{"pub", "a", "b", "--cert-key", key}, "--cert-key: needs --cert")
}
