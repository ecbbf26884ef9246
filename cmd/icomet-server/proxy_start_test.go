package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"icomet/server/servertest"
)

// behind is a proxy that runs one of the example files, with the server behind it.
type behind struct {
	t     *testing.T
	url   string // https://127.0.0.1:port, of the proxy
	admin string
	cert  string // the file of its certificate
	roots *x509.CertPool
	log   func() string // of the proxy

	versions []bool // whether HTTP/2: both, or only false
}

// exampleProxies are those that docs/proxy has a file for.
var exampleProxies = []string{"nginx", "haproxy", "caddy"}

// certificate makes a certificate for 127.0.0.1, in the forms that the proxies need.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "icomet test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": secret, "both.pem": append(cert, secret...)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}

// example reads a file of docs/proxy and replaces every text that a test cannot use as it
// is; each must occur.
func example(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/proxy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("docs/proxy/%s has no %q any more", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// startBehind runs the server with the configuration lines that the example names, then
// the proxy. timeout replaces the example's 90 seconds.
func startBehind(t *testing.T, proxy, timeout string, lines ...string) *behind {
	t.Helper()
	if proxy == "haproxy" {
		lines = append(lines, "front.proxy_protocol = true")
	}
	lines = append(lines, `front.trusted_proxies = ["127.0.0.1"]`)
	d := start(t, nil, writeConfig(t, lines...))
	return startProxy(t, proxy, timeout, "http://"+d.Address("admin"), d.Address("front"))
}

// startProxy runs the example file in front of servers on these addresses, which has a line
// for each of them.
func startProxy(t *testing.T, proxy, timeout, admin, front string, more ...string) *behind {
	t.Helper()
	listen, dir := ownAddress(t), t.TempDir()
	b := &behind{t: t, url: "https://" + listen, admin: admin, cert: dir + "/cert.pem", roots: certificate(t, dir)}
	config, output := filepath.Join(dir, "config"), new(servertest.Output)
	var text string
	var cmd *exec.Cmd
	switch proxy {
	case "nginx":
		b.versions = []bool{false}
		text = example(t, "nginx.conf", "127.0.0.1:8100", front, "listen 443 ssl;", "listen "+listen+" ssl;", "/etc/ssl/icomet", dir,
			"/var/log/nginx", dir, "90s", timeout, "worker_rlimit_nofile 200000;", "", "worker_connections 90000", "worker_connections 200",
			"\nhttp {", "\nhttp { client_body_temp_path "+dir+"/body; proxy_temp_path "+dir+"/proxy; fastcgi_temp_path "+dir+"/f; uwsgi_temp_path "+dir+"/u; scgi_temp_path "+dir+"/s;\n")
		cmd = exec.Command("/usr/sbin/nginx", "-p", dir, "-c", config, "-e", dir+"/start.log",
			"-g", "daemon off; master_process off; pid "+dir+"/pid;")
		b.log = func() string { return readAll(t, dir+"/icomet.log", dir+"/icomet-error.log") }
	case "haproxy":
		b.versions = []bool{false, true}
		text = example(t, "haproxy.cfg", "127.0.0.1:8100", front, "bind :443", "bind "+listen, "/etc/ssl/icomet", dir,
			"90s", timeout, "log /dev/log local0", "log stdout format raw local0", "global\n", "global\n    maxconn 200\n")
		cmd = exec.Command("/usr/sbin/haproxy", "-db", "-f", config)
		b.log = output.String
	case "caddy":
		b.versions = []bool{false, true}
		text = example(t, "Caddyfile", "\n{\n", "\n{\nadmin off\ndefault_bind 127.0.0.1\nauto_https disable_redirects\nstorage file_system "+dir+"\n", "127.0.0.1:8100", front,
			"push.example.com", b.url, "/etc/ssl/icomet", dir, "/var/log/caddy", dir, "90s", timeout)
		cmd = exec.Command("/usr/bin/caddy", "run", "--config", config, "--adapter", "caddyfile")
		b.log = func() string { return readAll(t, dir+"/icomet.log") }
	}
	for _, address := range more {
		text = strings.ReplaceAll(text, front+";", front+" fail_timeout=1s;") // nginx: instead of 10s
		text = anotherServer(text, front, address)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test-needs installs it", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
		<-ended
		timer.Stop()
	})
	checkFor(t, startLimit, func() error {
		select {
		case err := <-ended:
			ended <- err
			start, _ := os.ReadFile(dir + "/start.log") // nginx's
			later, _ := os.ReadFile(dir + "/icomet.log")
			t.Fatalf("%s ended at once: %v\n%s%s%s", proxy, err, output, start, later)
		default:
		}
		_, body, err := b.get("127.0.0.1", "/ping?cb=", nil)
		if err == nil && !strings.Contains(body, "ping") {
			err = fmt.Errorf("/ping: %q", body)
		}
		return err
	})
	return b
}

// readAll returns what the files contain, one behind the other.
func readAll(t *testing.T, paths ...string) string {
	t.Helper()
	var all []byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		all = append(all, data...)
	}
	return string(all)
}

// anotherServer repeats the line of the server front for another.
func anotherServer(text, front, another string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(line)
		if words := strings.TrimSpace(line); (strings.HasPrefix(words, "server ") || strings.HasPrefix(words, "to ")) && strings.Contains(words, front) {
			out.WriteString(strings.NewReplacer(front, another, "icomet1", "icomet2").Replace(line))
		}
	}
	return out.String()
}
