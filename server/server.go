package server

import (
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"

	"icomet/channel"
	"icomet/channel/snapshot"
	"icomet/server/config"
	"icomet/server/monitor"
	"icomet/server/reactor"
	"icomet/server/secure"
)

// Options is what New needs.
type Options struct {
	Config config.Config
	Logger *slog.Logger
	// Engine makes the engine that the hub's channels come from; nil: memory.
	Engine func(*channel.Hub) (channel.Engine, error)
	// CrashOnPanic lets a panic end the process instead of one connection: tests are to
	// see it.
	CrashOnPanic bool
	// LogFailures is how many log lines could not be written, for /stats. It may be
	// nil, and is concurrency-safe.
	LogFailures func() uint64
}

// Server is one running server. Its methods are concurrency-safe, but for those of
// Handler, which the reactor calls on its event loops.
type Server struct {
	log      *slog.Logger
	settings atomic.Pointer[settings]
	hub      *channel.Hub
	engine   channel.Engine
	reactor  *reactor.Reactor
	monitor  *monitor.Monitor
	snapshot *snapshot.Store // nil: engine.snapshot is empty

	frontTLS, adminTLS *secure.Port // nil: the port has no TLS

	front, admin map[string]*endpoint // by path
	formats      formats
}

// New checks the configuration and that both addresses can be bound; the error
// names key, address and the system's words. Run or Close has to follow.
func New(o Options) (*Server, error) {
	set, err := newSettings(o.Config)
	if err != nil {
		return nil, err
	}
	s := &Server{log: o.Logger}
	s.settings.Store(set)
	if err := s.openHub(set, o.Config.Engine.Snapshot); err != nil {
		return nil, err
	}
	addrs, err := reactor.Listen(addresses(&o.Config)...)
	if err == nil {
		s.engine, err = s.newEngine(o.Engine)
	}
	if err != nil {
		if addrs != nil {
			addrs.Release()
		}
		s.closeSnapshot()
		return nil, err
	}
	loops := loopCount(o.Config.Runtime.EventLoops, runtime.GOMAXPROCS(0))
	s.frontTLS, s.adminTLS = ports(set, loops)
	s.reactor = reactor.New(reactor.Options{
		Log: o.Logger, Hub: s.hub, Engine: s.engine, Handler: s, Settings: set.reactor, Listeners: addrs,
		Loops: loops, FrontTLS: s.frontTLS, AdminTLS: s.adminTLS,
		Tick: func(now uint32) { s.monitor.Tick(now) }, CrashOnPanic: o.CrashOnPanic,
	})
	s.monitor = monitor.New(monitor.Options{
		Log: o.Logger, Hub: s.hub, Engine: s.engine, Reactor: s.reactor, LogFailures: o.LogFailures,
		TLS:    s.tlsPorts(),
		Config: func() *config.Config { return &s.settings.Load().config },
	})
	s.formats = s.newFormats()
	s.front, s.admin = s.frontEndpoints(), s.adminEndpoints()
	return s, nil
}

func (s *Server) newEngine(of func(*channel.Hub) (channel.Engine, error)) (channel.Engine, error) {
	if of == nil {
		return channel.NewMemory(s.hub), nil
	}
	return of(s.hub)
}

// loopCount is the number of event loops for runtime.event_loops. With 0, one CPU stays
// free for the kernel's network work, the collector and the rest of the
// machine: reactor/PERFORMANCE.md has what it costs without.
func loopCount(configured, cpus int) int {
	if configured > 0 {
		return configured
	}
	return min(max(cpus-1, 1), channel.MaxSinks)
}

// Ready is closed when the server answers.
func (s *Server) Ready() <-chan struct{} { return s.reactor.Ready() }

// FrontAddr is the bound address of the front port. Until Ready is closed, a port that
// was configured as 0 can still change.
func (s *Server) FrontAddr() net.Addr { return s.reactor.FrontAddr() }

// AdminAddr is the bound address of the admin port, with the same reservation.
func (s *Server) AdminAddr() net.Addr { return s.reactor.AdminAddr() }

// Shutdown has the server leave: after limits.drain_delay, in which it only says so
// (/readyz), new front connections are refused, subscribers are ended evenly over
// limits.drain_timeout, then Run returns.
func (s *Server) Shutdown() { s.reactor.Shutdown() }

// Reload applies what can change while running; config.Config.NeedsRestart lists the
// rest. The error says what New would refuse, and then nothing has changed.
func (s *Server) Reload(next config.Config) error {
	set, err := newSettings(next)
	if err != nil {
		return err
	}
	s.settings.Store(set)
	s.hub.SetLimits(set.hubLimits())
	s.reconfigureTLS(set)
	s.reactor.Configure(set.reactor)
	return nil
}

// Alive is an error when an event loop does not run.
func (s *Server) Alive() error { return s.reactor.Alive() }

// Unready lists why /readyz is not 200; empty: it is.
func (s *Server) Unready() []string { return s.monitor.Unready() }

// Load counts what this server holds.
func (s *Server) Load() (connections, channels, subscribers int64) {
	connections, _ = s.reactor.Connections()
	return connections, int64(s.hub.Channels()), int64(s.hub.Subscribers())
}

// Stats are the figures of /stats.
func (s *Server) Stats() *monitor.Report { return s.monitor.Report() }

// Reactor is the heart of the server, for tests.
func (s *Server) Reactor() *reactor.Reactor { return s.reactor }
