package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTLSNumbers: what the words mean in the protocol.
func TestTLSNumbers(t *testing.T) {
	cfg := Default()
	if cfg.Front.TLS.On() || cfg.Admin.TLS.On() {
		t.Error("TLS is on by default")
	}
	if got := cfg.Front.TLS.Version(); got != tls.VersionTLS13 {
		t.Errorf("by default the oldest version is %#x", got)
	}
	if got := cfg.Front.TLS.CurveIDs(); got != nil {
		t.Errorf("by default the curves are %v, want Go's own: nil", got)
	}
	cfg = everyKeyConfig()
	if !cfg.Front.TLS.On() {
		t.Error("TLS is off with certificates")
	}
	if got := cfg.Front.TLS.Version(); got != tls.VersionTLS12 {
		t.Errorf("min_version 1.2 is %#x", got)
	}
	if got, want := cfg.Front.TLS.CurveIDs(), []tls.CurveID{tls.X25519MLKEM768, tls.CurveP256}; !slices.Equal(got, want) {
		t.Errorf("curves %v, want %v", got, want)
	}
}

func TestSplitCertificate(t *testing.T) {
	for text, want := range map[string]string{"a.pem:a.key": "a.pem|a.key", "/etc/both.pem": "/etc/both.pem|"} {
		certificate, key, err := SplitCertificate(text)
		if got := certificate + "|" + key; got != want || err != nil {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "a:", ":b", "a:b:c", "a:b:", "a::b", "a:b\x00"} {
		if certificate, key, err := SplitCertificate(text); err == nil {
			t.Errorf("%q: %q, %q", text, certificate, key)
		}
	}
}

// TestTLSNeedsRestart: a running server can exchange certificates, but not begin or end TLS.
func TestTLSNeedsRestart(t *testing.T) {
	load := func(certificates string) *Config {
		t.Helper()
		cfg, _, err := Load("", []string{"ICOMET_ADMIN_TLS_CERTIFICATES=" + certificates})
		if err != nil {
			t.Fatal(err)
		}
		return &cfg
	}
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "a", []string{"admin.tls.certificates"}},
		{"a", "", []string{"admin.tls.certificates"}},
		{"a", "b:c,d", nil},
		{"", "", nil},
	} {
		if got := load(c.from).NeedsRestart(load(c.to)); !slices.Equal(got, c.want) {
			t.Errorf("from %q to %q: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// TestTLSGuards: a variable that is empty by mistake neither ends TLS nor lets everybody in.
func TestTLSGuards(t *testing.T) {
	path := writeConfig(t, "[admin.tls]\ncertificates = [\"a\"]\nclient_ca = \"ca\"\n")
	for i, variable := range []string{"ICOMET_ADMIN_TLS_CERTIFICATES", "ICOMET_ADMIN_TLS_CLIENT_CA"} {
		_, _, err := Load(path, []string{variable + "="})
		want := fmt.Sprintf("would take away the protection that %s:%d sets", path, i+2)
		if err == nil || !strings.HasPrefix(err.Error(), "environment: "+variable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", variable, err, want)
		}
	}
}
