package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icomet/internal/selfsigned"
	"icomet/server/servertest"
)

// certificateFiles writes certificates with their keys into dir: good, other, expired and
// early, each NAME.pem and NAME.key.
func certificateFiles(t *testing.T, dir string) {
	t.Helper()
	authority, err := selfsigned.New("checks")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, o := range map[string]selfsigned.Options{
		"good": {}, "other": {},
		"expired": {NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)},
		"early":   {NotBefore: now.Add(24 * time.Hour)},
		"soon":    {NotAfter: now.Add(13 * 24 * time.Hour)},
	} {
		o.Names = []string{name + ".test"}
		issued, err := authority.Issue(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := issued.Write(dir, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCheckCertificates: -t and the start refuse the same, and say which file and why.
func TestCheckCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificateFiles(t, dir)
	copyAs := func(from, to string, mode os.FileMode) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, mode)
		}
		if err == nil {
			err = os.Chmod(filepath.Join(dir, to), mode) // whatever the umask
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyAs("good.key", "open.key", 0o644)
	copyAs("good.key", "group.key", 0o640)
	for name, c := range map[string]struct {
		certificates string
		words        []string // none: it is accepted
	}{
		"good":          {"good.pem:good.key", nil},
		"group":         {"good.pem:group.key", nil},
		"ends soon":     {"soon.pem:soon.key", nil},
		"two":           {"good.pem:good.key,other.pem:other.key", nil},
		"missing":       {"nowhere.pem:good.key", []string{"nowhere.pem", "no such file"}},
		"no key":        {"good.pem:nowhere.key", []string{"nowhere.key", "no such file"}},
		"mismatched":    {"good.pem:other.key", []string{"good.pem", "other.key", "does not match"}},
		"second":        {"good.pem:good.key,other.pem:good.key", []string{"other.pem", "good.key"}},
		"others read":   {"good.pem:open.key", []string{"open.key", "0644", "chmod 640"}},
		"expired":       {"expired.pem:expired.key", []string{"expired.pem", "has expired"}},
		"not yet valid": {"early.pem:early.key", []string{"early.pem", "not valid before"}},
		"no PEM":        {"good.key:good.key", []string{"good.key", "no certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificates := dir + "/" + strings.NewReplacer(":", ":"+dir+"/", ",", ","+dir+"/").Replace(c.certificates)
			for _, port := range []string{"FRONT", "ADMIN"} {
				environ := []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0", "ICOMET_" + port + "_TLS_CERTIFICATES=" + certificates}
				r := runToEnd(t, environ, "-t")
				if c.words == nil {
					if r.status != exitOK || r.stdout != "configuration ok\n" {
						t.Errorf("-t: %+v", r)
					}
					continue
				}
				for args, r := range map[string]result{"-t": r, "the start": runToEnd(t, environ)} {
					if r.status == exitOK {
						t.Errorf("%s: %+v", args, r)
					}
					for _, word := range append(c.words, strings.ToLower(port)) {
						if !strings.Contains(r.stderr, word) {
							t.Errorf("%s does not say %q: %s", args, word, r.stderr)
						}
					}
				}
			}
		})
	}
}

// TestCertificateEndsSoon: the log of a server says it soon after the start.
func TestCertificateEndsSoon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificateFiles(t, dir)
	s := servertest.Start(t, "ICOMET_FRONT_TLS_CERTIFICATES="+dir+"/good.pem:"+dir+"/good.key,"+dir+"/soon.pem:"+dir+"/soon.key")
	s.WaitLog("level=WARN msg=\"a certificate ends soon\" role=front file="+dir+"/soon.pem", 1)
	if log := s.Log.String(); strings.Contains(log, "ends soon\" role=front file="+dir+"/good.pem") {
		t.Error(log)
	}
}
