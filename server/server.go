package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"icomet/channel"
)

// Version is the release, as /info, the Server field and -version give it.
const Version = "0.1.0"

// Options is what New needs.
type Options struct {
	Config Config
	Logger *slog.Logger
	// Engine makes the engine that the hub's channels come from; nil: memory.
	Engine func(*channel.Hub) (channel.Engine, error)
	// CrashOnPanic lets a panic end the process instead of one connection: tests
	// are to see it.
	CrashOnPanic bool
	// LogFailures is how many log lines could not be written, for /stats. It may be
	// nil, and is concurrency-safe.
	LogFailures func() uint64
}

// Server is one running server. Its methods are concurrency-safe.
type Server struct {
	log          *slog.Logger
	crashOnPanic bool
	settings     atomic.Pointer[settings]
	keepalive    Duration // what the listeners were given
	hub          *channel.Hub
	engine       channel.Engine
	loops        []*loop
	access       access
	listen       *listenAddrs
	started      time.Time // monotonic: the clock of all timeouts
	panics       atomic.Uint64

	gnet     gnet.Engine // from OnBoot on
	anchored atomic.Int32
	ready    chan struct{}
	failed   error // of the ticking goroutine, read after Run's engine has ended
	stopping bool  // of the ticking goroutine
	settling settling
	memory   memoryGuard

	logFailures func() uint64
	bridge      *bridge
	metrics     http.Handler
	feed        *dashboardFeed
	lister      *lister

	now       atomic.Uint32 // ticks: what the loops go by, see clock
	slow      atomic.Bool   // nothing happens: the ticking goroutine takes long sleeps
	draining  atomic.Bool
	drainFrom atomic.Int64 // ns since started; 0: no drain yet

	byLoopMu sync.RWMutex
	byLoop   map[gnet.EventLoop]*loop
}

// New checks the configuration and that both addresses can be bound; the error
// names key, address and the system's words. Run or Close has to follow.
func New(o Options) (*Server, error) {
	set, err := newSettings(o.Config)
	if err != nil {
		return nil, err
	}
	addrs, err := probe(&o.Config)
	if err != nil {
		return nil, err
	}
	s := &Server{
		log: o.Logger, crashOnPanic: o.CrashOnPanic, listen: addrs, started: time.Now(),
		hub: channel.NewHub(set.hubLimits()), keepalive: o.Config.Limits.Keepalive,
		ready: make(chan struct{}), byLoop: make(map[gnet.EventLoop]*loop),
		logFailures: o.LogFailures, bridge: newBridge(), feed: newFeed(),
	}
	s.metrics, s.lister = newMetrics(s), newLister(s.hub)
	s.now.Store(1)
	s.settings.Store(set)
	// Measured again when all of the server's own descriptors are open; until then
	// clients are let in by this one.
	s.access.measure(len(s.loops))
	s.access.setLimit(o.Config.Limits.Connections)
	if o.Engine == nil {
		s.engine = channel.NewMemory(s.hub)
	} else if s.engine, err = o.Engine(s.hub); err != nil {
		addrs.release()
		return nil, err
	}
	for range loopCount(o.Config.Runtime.EventLoops, runtime.GOMAXPROCS(0)) {
		s.loops = append(s.loops, newLoop(s))
	}
	return s, nil
}

// loopCount is how many event loops runtime.event_loops asks for. Left to us, one
// CPU stays free for the kernel's network work, the collector and the rest of the
// machine: DESIGN.md has what it costs without.
func loopCount(configured, cpus int) int {
	if configured > 0 {
		return configured
	}
	return min(max(cpus-1, 1), channel.MaxSinks)
}

// Ready is closed when the server answers.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// FrontAddr and AdminAddr are the bound addresses.
func (s *Server) FrontAddr() net.Addr { return s.listen.front }
func (s *Server) AdminAddr() net.Addr { return s.listen.admin }

// Close gives up a server that is not going to Run.
func (s *Server) Close() {
	s.listen.release()
	s.engine.Stop()
}

// Run serves until a drain has ended, and returns nil then.
func (s *Server) Run() error {
	cfg := s.settings.Load().config
	s.listen.release()
	err := gnet.Rotate(&callbacks{srv: s},
		[]string{gnetAddr(cfg.Front.Listen, s.listen.front), gnetAddr(cfg.Admin.Listen, s.listen.admin)},
		gnet.WithNumEventLoop(len(s.loops)), gnet.WithReusePort(true), gnet.WithReuseAddr(true),
		gnet.WithTCPKeepAlive(time.Duration(s.keepalive)), gnet.WithTCPKeepInterval(probeInterval(s.keepalive)),
		gnet.WithTCPKeepCount(keepaliveProbes), gnet.WithTicker(true),
		gnet.WithLogger(gnetLogger{s.log}))
	s.engine.Stop()
	s.bridge.close()
	switch {
	case err != nil:
		return fmt.Errorf("listening on %s and %s: %w", s.listen.front, s.listen.admin, err)
	case s.failed != nil:
		return s.failed
	case !s.stopping:
		return errors.New("the event engine has ended by itself; its log line above says why")
	}
	s.log.Info("stopped")
	return nil
}

// Reload applies what can change while running. NeedsRestart tells the rest.
func (s *Server) Reload(next Config) error {
	set, err := newSettings(next)
	if err != nil {
		return err
	}
	s.settings.Store(set)
	s.hub.SetLimits(set.hubLimits())
	s.access.setLimit(next.Limits.Connections)
	for _, l := range s.loops {
		l.post(l.rearmAll)
	}
	return nil
}

func (s *Server) booted(eng gnet.Engine) {
	s.gnet = eng
	// For those who come before the server is ready, when it is measured again.
	s.access.measure(len(s.loops))
	s.access.setLimit(s.settings.Load().config.Limits.Connections)
}

// ticks is the time since the start, in ticks; the first is 1.
func (s *Server) ticks() uint32 { return uint32(time.Since(s.started)/tickLength) + 1 }

// micros is the time since the start in µs. It goes round every 71 minutes: only the
// difference of two near ones means something.
func (s *Server) micros() uint32 { return uint32(time.Since(s.started) / time.Microsecond) }

// clock is the present tick. While the ticking goroutine is slow, whoever asks
// looks at the clock for all. Concurrency-safe.
func (s *Server) clock() uint32 {
	if s.slow.Load() {
		s.advance(s.ticks())
		s.hub.SetTime(time.Since(s.started))
	}
	return s.now.Load()
}

// advance sets the tick that the loops go by, unless another has set a later one.
// Concurrency-safe.
func (s *Server) advance(now uint32) {
	for old := s.now.Load(); old < now && !s.now.CompareAndSwap(old, now); old = s.now.Load() {
	}
}

// tickDelay is how long the ticking goroutine sleeps.
func (s *Server) tickDelay() time.Duration {
	if s.slow.Load() {
		return slowTicks * tickLength
	}
	return tickLength
}

// tick runs every 100 ms, when idle every 400 ms, on gnet's ticking goroutine.
func (s *Server) tick() gnet.Action {
	if s.stopping {
		return gnet.None
	}
	if !s.isReady() {
		if s.failed = s.anchorLoops(); s.failed != nil {
			return s.stop()
		}
		s.becomeReady()
	}
	now := s.ticks()
	s.advance(now)
	s.hub.Tick(time.Since(s.started))
	idle := !s.draining.Load() && !s.hub.Watched() && s.feed.watching.Load() == 0
	for _, l := range s.loops {
		if busy := l.busy(); busy || l.idleTickDue(now) {
			l.postTick()
			idle = idle && !busy
		}
	}
	s.slow.Store(idle)
	s.settleMemory()
	s.guardMemory()
	s.feedTick(now)
	if s.drained() {
		s.engine.Stop() // what it has begun is answered
		return s.stop()
	}
	return gnet.None
}

func (s *Server) stop() gnet.Action {
	s.stopping = true
	return gnet.Shutdown
}

func (s *Server) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

func (s *Server) becomeReady() {
	set := s.settings.Load()
	s.access.measure(len(s.loops))
	s.access.setLimit(set.config.Limits.Connections)
	s.log.Info("listening", "role", "front", "address", s.listen.front.String())
	s.log.Info("listening", "role", "admin", "address", s.listen.admin.String())
	close(s.ready)
}

// opened makes the record of a new connection.
func (s *Server) opened(gc gnet.Conn) gnet.Action {
	l := s.loopOf(gc.EventLoop())
	l.now = s.clock()
	set := s.settings.Load()
	c := &conn{gc: gc, loop: l, fd: int32(gc.Fd()), since: l.now, slot: noSlot}
	c.put(flagAdmin, s.listen.isAdmin(gc.LocalAddr()))
	if s.draining.Load() && !c.has(flagAdmin) {
		l.stats.refusedAtOpen.Add(1)
		return gnet.Close
	}
	if !s.access.enter(c, set, gc.RemoteAddr()) {
		s.access.leave(c)
		l.stats.refusedAtOpen.Add(1)
		return gnet.Close
	}
	s.setSocket(c, gc, set)
	gc.SetContext(c)
	l.stats.opened(c)
	l.arm(c)
	return gnet.None
}

// setSocket sets what gnet has no option for. A failure leaves the system's default.
func (s *Server) setSocket(c *conn, gc gnet.Conn, set *settings) {
	keepalive := set.config.Limits.Keepalive
	if keepalive != s.keepalive { // a reload: the listeners hand on the old one
		_ = gc.SetKeepAlive(true, time.Duration(keepalive), probeInterval(keepalive), keepaliveProbes)
	}
	// Keep-alive does not run while data is unacknowledged, so a vanished peer that
	// gets heartbeats would last a quarter of an hour without this. It also ends the
	// probing, instead of the probes' number: it lies between the second and the third.
	// At the second a peer whose first was lost would be cut.
	_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT,
		int((time.Duration(keepalive)+3*probeInterval(keepalive)/2)/time.Millisecond))
	if n := set.config.Limits.SendBuffer; n > 0 {
		_ = gc.SetWriteBuffer(int(n))
	}
}

// keepaliveProbes fit into the time of keepalive, one after the other.
const keepaliveProbes = 5

// probeInterval is the time between two of them. The system counts it in seconds.
func probeInterval(keepalive Duration) time.Duration {
	return max(time.Second, time.Duration(keepalive)/keepaliveProbes)
}
