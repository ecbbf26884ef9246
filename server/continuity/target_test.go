package continuity

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"icomet/channel/redis/redistest"
	"icomet/server"
	"icomet/server/config"
	"icomet/server/servertest"
)

// target is the servers that a history happens to.
type target interface {
	nodes() []node
	shared() bool // the channels are in a Redis
	ways() []way
	reload(setup) error
}

// node is the addresses of a server.
type node struct{ front, admin string }

// way is something that happens to the servers, mostly a restart.
type way struct {
	name  string
	node  int    // whose subscribers end
	keeps bool   // the servers know afterwards what they knew before
	ends  ending // of the responses that are open
	does  func()
}

// Values of way.node that are no node's number.
const (
	everybody = -1 // they leave before it happens
	nobody    = -2
)

// local is a server in this process. A restart is a new one on the same ports.
type local struct {
	t     testing.TB
	log   servertest.Output
	cfg   config.Config
	srv   *server.Server
	ended chan error
}

func startLocal(t testing.TB) *local {
	l := &local{t: t, cfg: config.Default()}
	l.cfg.Front.Listen = fmt.Sprint("127.0.0.1:", redistest.Port(t))
	l.cfg.Admin.Listen = fmt.Sprint("127.0.0.1:", redistest.Port(t))
	l.cfg.Runtime.EventLoops = 2
	l.cfg.Limits.DrainTimeout = config.Duration(100 * time.Millisecond)
	if servertest.TLS() {
		l.cfg.Front.TLS.Certificates, l.cfg.Front.TLS.MinVersion = []string{servertest.Certificate()}, servertest.TLSVersion()
		l.cfg.Admin.TLS = l.cfg.Front.TLS
	}
	l.mustStart()
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Errorf("%v\n%s", err, &l.log)
		}
	})
	return l
}

// mustStart tries again while a process that another test has just begun still shares the
// descriptor by which the server has looked whether its port is free.
func (l *local) mustStart() {
	if err := servertest.Poll(patience, l.start); err != nil {
		l.t.Fatalf("%v\n%s", err, &l.log)
	}
}

func (l *local) start() error {
	srv, err := server.New(server.Options{Config: l.cfg, Logger: slog.New(slog.NewTextHandler(&l.log, nil)), CrashOnPanic: true})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	l.srv, l.ended = srv, ended
	go func() { ended <- srv.Run() }()
	select {
	case <-srv.Ready():
		return nil
	case err := <-ended:
		return fmt.Errorf("the server ended at once: %w", err)
	case <-time.After(patience):
		return fmt.Errorf("the server does not start")
	}
}

func (l *local) stop() error {
	l.srv.Shutdown()
	select {
	case err := <-l.ended:
		l.ended <- err // for a second stop
		return err
	case <-time.After(patience):
		return fmt.Errorf("the server does not stop")
	}
}

func (l *local) nodes() []node { return []node{{l.cfg.Front.Listen, l.cfg.Admin.Listen}} }

func (l *local) shared() bool { return false }

func (l *local) reload(s setup) error {
	s.apply(&l.cfg)
	return l.srv.Reload(l.cfg)
}

func (l *local) ways() []way {
	return []way{{"drain", 0, false, drained, func() {
		if err := l.stop(); err != nil {
			l.t.Fatal(err)
		}
		l.mustStart()
	}}}
}
