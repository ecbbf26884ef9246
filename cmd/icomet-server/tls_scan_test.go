package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// TestSSLScan: what an auditor's program finds. Nothing but the versions of the
// configuration, no suite without forward secrecy and an AEAD, no renegotiation, no
// heartbleed.
func TestSSLScan(t *testing.T) {
	t.Parallel()
	suites := map[string][]string{
		"TLSv1.3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
		"TLSv1.2": {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"},
	}
	s := servertest.StartTLS(t, "ICOMET_ADMIN_TLS_MIN_VERSION=1.3")
	for url, versions := range map[string][]string{s.Front: {"TLSv1.2", "TLSv1.3"}, s.Admin: {"TLSv1.3"}} {
		out, err := exec.Command("sslscan", "--no-colour", servertest.HostPort(url)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: make test-needs installs it\n%s", err, out)
		}
		text := string(out)
		for _, version := range []string{"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"} {
			state := "disabled"
			if slices.Contains(versions, version) {
				state = "enabled"
			}
			if !regexp.MustCompile(regexp.QuoteMeta(version) + ` +` + state + `\n`).MatchString(text) {
				t.Errorf("%s is not %s", version, state)
			}
		}
		got, want := []string{}, []string{"Session renegotiation not supported"}
		for _, m := range regexp.MustCompile(`(?m)^(?:Preferred|Accepted) +(\S+) +\d+ bits +(\S+) .* DHE \d+ *$`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1]+" "+m[2])
		}
		var all []string // with forward secrecy or without
		for _, m := range regexp.MustCompile(`(?m)^(?:Preferred|Accepted) +(\S+) +\d+ bits +(\S+)`).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1]+" "+m[2])
		}
		var suitesWanted []string
		for _, version := range versions {
			want = append(want, version+" not vulnerable to heartbleed")
			for _, suite := range suites[version] {
				suitesWanted = append(suitesWanted, version+" "+suite)
			}
		}
		slices.Sort(got)
		slices.Sort(all)
		slices.Sort(suitesWanted)
		if !slices.Equal(got, suitesWanted) || !slices.Equal(all, suitesWanted) {
			t.Errorf("the suites are %q, those with forward secrecy %q; want %q", all, got, suitesWanted)
		}
		for _, sentence := range want {
			if !strings.Contains(text, sentence) {
				t.Errorf("sslscan does not say %q", sentence)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	}
}
