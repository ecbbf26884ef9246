package redis

import (
	"crypto/tls"
	"crypto/x509"
	testflags "flag"
	"log/slog"
	"os"
	"testing"
	"time"

	"icomet/channel"
	"icomet/channel/enginetest"
	"icomet/channel/redis/redistest"
)

// TestMain bounds the tests that run at a time: most have servers, nodes and timeouts of
// their own, which many at once would starve.
func TestMain(m *testing.M) {
	testflags.Parse()
	_ = testflags.Set("test.parallel", "4")
	os.Exit(m.Run())
}

// TestSuite: one Redis. Each test has a prefix of its own, so that they do not see
// each other's channels.
func TestSuite(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	runSuite(t, s.Addr())
}

// TestSuiteSecure: over TLS, as a user with few rights, in a database of its own.
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
	o.Timeout = 20 * time.Second // the suite is not about a slow store
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
