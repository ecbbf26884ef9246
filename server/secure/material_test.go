package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pemOf is a PEM file with one block.
func pemOf(kind string, der []byte, headers map[string]string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: der})
}

func chmod(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	a := newAuthority()
	key, other := keyPEM(ecdsaKey()), keyPEM(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	cert := a.sign(usually("a.test"), ecdsaKey())
	dated := func(before, after time.Duration) []byte {
		template := usually("a.test")
		template.NotBefore, template.NotAfter = time.Now().Add(before), time.Now().Add(after)
		return a.sign(template, ecdsaKey())
	}
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	whole := file(t, "whole.pem", cert, key)
	cases := []struct {
		name string
		pair Pair
		ca   string
		want string
	}{
		{"no file", Pair{Certificate: "/nowhere/a.pem"}, "", "/nowhere/a.pem: no such file or directory"},
		{"no key file", Pair{whole, "/nowhere/key.pem"}, "", "/nowhere/key.pem: no such file or directory"},
		{"a folder", Pair{Certificate: t.TempDir()}, "", "is not a regular file"},
		{"not PEM", Pair{Certificate: file(t, "der.crt", a.cert.Raw)}, "", "der.crt: there is no certificate in it"},
		{"empty", Pair{Certificate: file(t, "empty.pem")}, "", "empty.pem: there is no certificate in it"},
		{"too large", Pair{Certificate: file(t, "large.pem", make([]byte, maxFile+1))}, "", "large.pem: is larger than 1 MiB"},
		{"no key in it", Pair{Certificate: file(t, "cert.pem", cert)}, "", "cert.pem: there is no private key in it"},
		{"no key in its file", Pair{whole, file(t, "key.pem", cert)}, "", "key.pem: there is no private key in it"},
		{"no certificate in its file", Pair{file(t, "cert.pem", key), whole}, "", "cert.pem: there is no certificate in it"},
		{"another key", Pair{file(t, "cert.pem", cert), file(t, "key.pem", other)}, "", "key.pem: private key does not match public key"},
		{"broken certificate", Pair{Certificate: file(t, "bad.pem", certPEM([]byte("x")), key)}, "", "bad.pem: certificate 1 of the file cannot be read"},
		{"broken chain", Pair{Certificate: file(t, "bad.pem", cert, certPEM([]byte("x")), key)}, "", "bad.pem: certificate 2 of the file cannot be read"},
		{"broken key", Pair{Certificate: file(t, "bad.pem", cert, pemOf("PRIVATE KEY", []byte("x"), nil))}, "", "bad.pem: failed to parse private key"},
		{"encrypted key", Pair{Certificate: file(t, "enc.pem", cert, pemOf("ENCRYPTED PRIVATE KEY", []byte("x"), nil))}, "", "enc.pem: the private key is encrypted"},
		{"encrypted key of old", Pair{Certificate: file(t, "enc.pem", cert, pemOf("RSA PRIVATE KEY", []byte("x"),
			map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}))}, "", "enc.pem: the private key is encrypted"},
		{"a curve of nobody", Pair{Certificate: file(t, "p224.pem", a.sign(usually("a.test"), p224), keyPEM(p224))}, "", "p224.pem: no client could use this kind of certificate"},
		{"expired", Pair{Certificate: file(t, "old.pem", dated(-2*time.Hour, -time.Hour), key)}, "", "old.pem: the certificate has expired ("},
		{"not valid yet", Pair{Certificate: file(t, "new.pem", dated(time.Hour, 2*time.Hour), key)}, "", "new.pem: the certificate is not valid before "},
		{"key for everybody", Pair{whole, chmod(t, file(t, "key.pem", key), 0o644)}, "", "key.pem: has mode 0644, which lets every user of the machine read"},
		{"both for everybody", Pair{Certificate: chmod(t, file(t, "pair.pem", cert, key), 0o644)}, "", "pair.pem: has mode 0644, which lets every user of the machine read"},
		{"key that the group writes", Pair{whole, chmod(t, file(t, "key.pem", key), 0o660)}, "", "key.pem: has mode 0660, which lets others than its owner write"},
		{"no authority file", Pair{Certificate: whole}, "/nowhere/ca.pem", "/nowhere/ca.pem: no such file or directory"},
		{"no authority", Pair{Certificate: whole}, file(t, "ca.pem", key), "ca.pem: there is no certificate in it"},
		{"broken authority", Pair{Certificate: whole}, file(t, "ca.pem", certPEM(a.cert.Raw), certPEM([]byte("x"))), "ca.pem: certificate 2 of the file cannot be read"},
		{"expired authority", Pair{Certificate: whole}, file(t, "ca.pem", dated(-2*time.Hour, -time.Hour)), "ca.pem: the certificate has expired ("},
		{"authorities that others add to", Pair{Certificate: whole}, chmod(t, file(t, "ca.pem", certPEM(a.cert.Raw)), 0o666), "ca.pem: has mode 0666, which lets others than its owner write"},
	}
	for _, c := range cases {
		m, err := Load(Settings{MinVersion: tls.VersionTLS13, Handshakes: 1, Certificates: []Pair{{Certificate: whole}, c.pair}, ClientCA: c.ca})
		if err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		} else if strings.Contains(err.Error(), "tls:") || bytes.Contains([]byte(err.Error()), key[30:60]) {
			t.Errorf("%s: %v: that is not a sentence for an operator", c.name, err)
		}
	}
	if _, err := Load(Settings{}); err == nil {
		t.Error("no certificate at all is taken")
	}
}

// owned is a file of a user.
type owned struct {
	os.FileInfo
	uid uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

func TestOwner(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(file(t, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	own := uint32(os.Geteuid())
	cases := []struct {
		rule  rule
		uid   uint32
		taken bool
	}{
		{secret, own, true}, {secret, 0, true}, {secret, own + 1, false},
		{trusted, own + 1, false}, {public, own + 1, true},
	}
	for _, c := range cases {
		if err := c.rule.check(owned{info, c.uid}); (err == nil) != c.taken {
			t.Errorf("rule %d, a file of user %d, the server being %d: %v", c.rule, c.uid, own, err)
		}
	}
}

// TestLoadTakes the forms of keys and files that certbot, lego and openssl write.
func TestLoadTakes(t *testing.T) {
	t.Parallel()
	a := newAuthority()
	ec := ecdsaKey().(*ecdsa.PrivateKey)
	template := usually("a.test", "*.b.test")
	template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	cert := a.sign(template, ec)
	sec1 := pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec)), nil)
	pairs := []Pair{
		{Certificate: file(t, "one.pem", keyPEM(ec), cert, certPEM(a.cert.Raw))},
		{chmod(t, file(t, "cert.pem", []byte("Bag Attributes\n"), cert), 0o644), chmod(t, file(t, "key.pem", keyPEM(ec)), 0o440)},
		{file(t, "cert.pem", cert), file(t, "key.pem", pemOf("EC PARAMETERS", []byte("x"), nil), sec1)},
		a.pair(t, ed25519Key(), "c.test"),
	}
	m, err := Load(Settings{Certificates: pairs, ClientCA: file(t, "ca.pem", certPEM(a.cert.Raw))})
	if err != nil {
		t.Fatal(err)
	}
	infos := m.Certificates()
	if len(infos) != len(pairs) {
		t.Fatalf("%d certificates, want %d", len(infos), len(pairs))
	}
	if got := infos[1]; got.File != pairs[1].Certificate || !slices.Equal(got.Names, []string{"a.test", "*.b.test", "192.0.2.1"}) || !got.NotAfter.Equal(template.NotAfter) {
		t.Errorf("certificate 2 is %+v", got)
	}
}

// TestChainEnds: a certificate is worth nothing when one above it has ended.
func TestChainEnds(t *testing.T) {
	t.Parallel()
	a := newAuthority()
	above := usually("above")
	above.NotAfter = time.Now().Add(time.Hour).Truncate(time.Second)
	key := ecdsaKey()
	chain := append(a.sign(usually("a.test"), key), a.sign(above, ecdsaKey())...)
	m, err := Load(Settings{Certificates: []Pair{{file(t, "chain.pem", chain), file(t, "key.pem", keyPEM(key))}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Certificates()[0].NotAfter; !got.Equal(above.NotAfter) {
		t.Errorf("it ends at %v, want %v", got, above.NotAfter)
	}
}

// TestFIPSOnly is refused. The setting belongs to a process.
func TestFIPSOnly(t *testing.T) {
	t.Parallel()
	if path := os.Getenv("SECURE_TEST_CERTIFICATE"); path != "" {
		_, err := Load(Settings{Certificates: []Pair{{Certificate: path}}})
		_, _ = os.Stderr.WriteString("Load: " + err.Error())
		return
	}
	a := newAuthority()
	cmd := exec.CommandContext(t.Context(), filepath.Clean(must(os.Executable())), "-test.run", "^TestFIPSOnly$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", "SECURE_TEST_CERTIFICATE="+a.pair(t, ecdsaKey(), "a.test").Certificate)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Load: TLS cannot be had with GODEBUG=fips140=only")) {
		t.Errorf("%v: %s", err, out)
	}
}
