package redis

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"testing"

	"icomet/channel"
	"icomet/channel/enginetest"
	"icomet/channel/redis/redistest"
)

// TestSuite runs the suite on one Redis. Each test has its own prefix, so that they do
// not see each other's channels.
func TestSuite(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	runSuite(t, s.Addr())
}

// TestSuiteSecure runs it over TLS, as a user with few rights, in a database of its own.
func TestSuiteSecure(t *testing.T) {
	t.Parallel()
	s, ca := redistest.StartTLS(t, "of-default", redistest.User(t.Name())...)
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(s.Addr())
	o.Username, o.Password, o.DB = "push", "of-push", 3
	o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	o.TLS.RootCAs.AppendCertsFromPEM(pem)
	runSuiteWith(t, o)
}

func runSuite(t *testing.T, addrs ...string) { runSuiteWith(t, testOptions(addrs...)) }

func runSuiteWith(t *testing.T, o Options) {
	enginetest.Run(t, func(t *testing.T, l channel.Limits) (channel.Engine, *channel.Hub) {
		o := o
		o.Prefix = t.Name() + ":"
		log := &quietLog{t: t}
		t.Cleanup(log.end)
		o.Hub, o.Logger = channel.NewHub(l), slog.New(slog.NewTextHandler(log, nil))
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return e, o.Hub
	})
}
