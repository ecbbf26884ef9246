package examples_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"icomet/server/servertest"
)

// trustStore is a Java trust store with the authority of the tests; "" where there is no
// Java.
func trustStore(t *testing.T) (path string) {
	t.Helper()
	if _, err := exec.LookPath("keytool"); err != nil {
		return ""
	}
	path = filepath.Join(t.TempDir(), "trusted.p12")
	out, err := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass", "changeit",
		"-file", servertest.AuthorityFile(), "-keystore", path).CombinedOutput()
	if err != nil {
		t.Fatalf("keytool: %v\n%s", err, out)
	}
	return path
}

// TestSubscribersTLS: each gets the stored messages and the new ones over TLS, goes on after
// a cut, and ends when the channel ends.
func TestSubscribersTLS(t *testing.T) {
	t.Parallel()
	for _, e := range followers(t, "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-Djavax.net.ssl.trustStorePassword=changeit", "-Djavax.net.ssl.trustStore="+trustStore(t)) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartTLS(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
			proxy := servertest.NewProxy(t, s.Front)
			s.Push("a", "stored")
			ended, stdout, stderr := start(t, e.command(&servertest.Server{Front: proxy.URL}, "a", "1"))
			wantOutput(t, stdout, stderr, "stored\n")
			s.WaitSubscribers("a", 1)
			long := strings.Repeat("0123456789", 5000) // more than a record can have
			s.Push("a", long)
			wantOutput(t, stdout, stderr, "stored\n"+long+"\n")
			proxy.Cut()
			s.Push("a", "away")
			s.Call("/end", "cname", "a", "content", "the last")
			if err := ended(); err != nil {
				t.Errorf("ended with %v: %s", err, stderr)
			}
			wantOutput(t, stdout, stderr, "stored\n"+long+"\naway\nthe last\n")
			if told := missing.FindString(stderr.String()); told != "" {
				t.Errorf("told %q", told)
			}
		})
	}
}
