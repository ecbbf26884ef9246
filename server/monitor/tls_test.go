package monitor

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"icomet/internal/selfsigned"
	"icomet/server/secure"
)

// material has a certificate that ends then.
func material(t *testing.T, notAfter time.Time) *secure.Material {
	t.Helper()
	authority, err := selfsigned.New("monitor")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(selfsigned.Options{Names: []string{"a.test"}, NotAfter: notAfter})
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := issued.Write(t.TempDir(), "a")
	if err != nil {
		t.Fatal(err)
	}
	m, err := secure.Load(secure.Settings{
		Certificates: []secure.Pair{{Certificate: certificate, Key: key}}, MinVersion: tls.VersionTLS13, Handshakes: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestExpiry: a warning from 14 days before a certificate ends, once a day, in other words
// when it has ended, and none for the one that a reload brings.
func TestExpiry(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Now()
	end := start.Add(20 * day)
	front := secure.NewPort(material(t, end), secure.NewComputing(1))
	admin := secure.NewPort(material(t, end.Add(365*day)), secure.NewComputing(1))
	var log bytes.Buffer
	m := &Monitor{log: slog.New(slog.NewTextHandler(&log, nil)), tls: map[string]*secure.Port{"front": front, "admin": admin}}
	warned := func(from, to time.Time) []string { // looking every minute
		t.Helper()
		log.Reset()
		for now := from; now.Before(to); now = now.Add(time.Minute) {
			m.watchExpiry(now)
		}
		return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	}
	if got := warned(start, end.Add(-14*day-time.Minute)); got[0] != "" {
		t.Fatalf("more than 14 days before: %q", got)
	}
	got := warned(end.Add(-14*day), end.Add(-11*day))
	if len(got) != 3 || !strings.Contains(got[0], `msg="a certificate ends soon" role=front file=/`) || !strings.Contains(got[0], " days=13") || !strings.Contains(got[2], " days=11") {
		t.Errorf("in three days: %q, want one a day", got)
	}
	got = warned(end.Add(time.Second), end.Add(day))
	if len(got) != 1 || !strings.Contains(got[0], "has ended: clients refuse it") {
		t.Errorf("after its end: %q", got)
	}
	front.Configure(material(t, end.Add(90*day)))
	if got := warned(end.Add(day), end.Add(3*day)); got[0] != "" {
		t.Errorf("after a reload: %q", got)
	}
}
