package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/access"
	"icomet/server/secure"
)

// Options is what New needs. All but Tick is required.
type Options struct {
	Log      *slog.Logger
	Hub      *channel.Hub
	Engine   channel.Engine // the reactor stops it when it ends
	Handler  Handler
	Settings *Settings

	Listeners *Listeners // the reactor releases them
	Loops     int        // Event loops, at least 1

	// FrontTLS and AdminTLS are for the addresses with TLS; nil where there are none.
	FrontTLS, AdminTLS *secure.Port

	// Tick is called on the ticking goroutine, up to ten times a second, with the time
	// in ticks; nil: not called.
	Tick func(now uint32)
	// CrashOnPanic lets a panic end the process instead of one connection: tests are to
	// see it.
	CrashOnPanic bool
}

// Reactor is the event loops with the connections of both ports. Its methods are
// concurrency-safe.
type Reactor struct {
	log          *slog.Logger
	crashOnPanic bool
	handler      Handler
	onTick       func(now uint32)
	settings     atomic.Pointer[Settings]
	keepalive    time.Duration // what the listeners were given
	hub          *channel.Hub
	engine       channel.Engine
	loops        []*loop
	counters     []*Counters // of the loops
	counts       access.Counts
	listen       atomic.Pointer[Listeners]
	started      time.Time // monotonic: the clock of all timeouts
	panics       atomic.Uint64
	accepts      acceptGuard
	bridge       *bridge
	feed         *Feed
	writable     writable

	frontTLS, adminTLS *secure.Port
	shaking            handshakes

	gnet     gnet.Engine // from OnBoot on
	booted   atomic.Bool // OnBoot was called
	anchored atomic.Int32
	ready    chan struct{}
	failed   error // of the ticking goroutine, read after Run's engine has ended
	stopping bool  // of the ticking goroutine

	now       atomic.Uint32 // ticks: what the loops go by, see clock
	tickedAt  atomic.Uint32 // the tick of the ticking goroutine's last run
	slow      atomic.Bool   // nothing happens: the ticking goroutine takes long sleeps
	leaving   atomic.Bool   // Shutdown was called
	delayed   atomic.Pointer[time.Timer]
	draining  atomic.Bool  // the drain has begun
	drainFrom atomic.Int64 // ns since started; 0: no drain yet
	date      atomic.Pointer[string]

	byLoopMu sync.RWMutex
	byLoop   map[gnet.EventLoop]*loop
}

// New makes a reactor. Run or Close has to follow.
func New(o Options) *Reactor {
	r := &Reactor{
		log: o.Log, crashOnPanic: o.CrashOnPanic, handler: o.Handler, onTick: o.Tick,
		keepalive: o.Settings.Keepalive, hub: o.Hub, engine: o.Engine,
		frontTLS: o.FrontTLS, adminTLS: o.AdminTLS,
		started: time.Now(), bridge: newBridge(),
		ready: make(chan struct{}), byLoop: make(map[gnet.EventLoop]*loop),
	}
	r.listen.Store(o.Listeners)
	r.accepts.log = o.Log
	r.feed = newFeed(r)
	r.writable.reactor = r
	r.now.Store(1)
	r.setDate(r.started)
	r.store(o.Settings)
	// Measured again when all of the server's own descriptors are open; until then
	// clients are let in by this one.
	r.counts.Measure(o.Loops)
	r.counts.SetLimit(o.Settings.Connections)
	for range o.Loops {
		l := newLoop(r)
		r.loops, r.counters = append(r.loops, l), append(r.counters, &l.stats)
	}
	return r
}

func (r *Reactor) store(set *Settings) {
	set.prepare()
	r.settings.Store(set)
}

// Ready is closed when both ports answer.
func (r *Reactor) Ready() <-chan struct{} { return r.ready }

// FrontAddr is the bound address of the front port. Until Ready is closed, a port that
// was configured as 0 can still change.
func (r *Reactor) FrontAddr() net.Addr { return r.listen.Load().port(false) }

// AdminAddr is the same for the admin port.
func (r *Reactor) AdminAddr() net.Addr { return r.listen.Load().port(true) }

// Close gives up a reactor that is not going to Run.
func (r *Reactor) Close() {
	r.listen.Load().Release()
	r.engine.Stop()
}

// Run serves until a drain has ended, and then returns nil. An error says that a port
// cannot be bound, or that the engine has ended by itself.
func (r *Reactor) Run() error {
	err := r.serve()
	r.engine.Stop()
	r.bridge.close()
	if timer := r.delayed.Load(); timer != nil {
		timer.Stop()
	}
	switch {
	case err != nil:
		return err
	case r.failed != nil:
		return r.failed
	case !r.stopping:
		return errors.New("the event engine has ended by itself; its log line above says why")
	}
	return nil
}

// listenTries bounds how often Run binds again after another process has taken a port.
const listenTries = 10

// serve runs gnet's engine. Between the release of the probes and gnet's own bind
// another process can take a port: then the addresses are probed again, which finds a
// new port for one that was configured as 0, and the system's words for any other.
func (r *Reactor) serve() error {
	for try := 1; ; try++ {
		addrs := r.listen.Load()
		addrs.Release()
		err := gnet.Rotate(&callbacks{reactor: r}, addrs.gnetAddrs(),
			gnet.WithNumEventLoop(len(r.loops)), gnet.WithReusePort(true), gnet.WithReuseAddr(true),
			gnet.WithTCPKeepAlive(r.keepalive), gnet.WithTCPKeepInterval(probeInterval(r.keepalive)),
			gnet.WithTCPKeepCount(keepaliveProbes), gnet.WithTicker(true),
			gnet.WithLogger(gnetLogger{r.log, &r.accepts}))
		if err == nil {
			return nil
		}
		err = fmt.Errorf("listening on %s: %w", addrs, err)
		if r.booted.Load() || try == listenTries {
			return err
		}
		next, again := addrs.again()
		if again != nil {
			return again
		}
		r.listen.Store(next)
	}
}

// Configure replaces the settings. set must not be changed afterwards.
func (r *Reactor) Configure(set *Settings) {
	r.store(set)
	r.counts.SetLimit(set.Connections)
	for _, l := range r.loops {
		l.post(l.rearmAll)
	}
}

// Post runs fn on event loop i, among its other work.
func (r *Reactor) Post(i int, fn func()) { r.loops[i].post(fn) }

// Counters are what each event loop counts, by the loop's number. The slice must not be
// changed.
func (r *Reactor) Counters() []*Counters { return r.counters }

// Connections returns how many are open on both ports, and their cap.
func (r *Reactor) Connections() (open, limit int64) { return r.counts.Load() }

// Panics is how many were recovered.
func (r *Reactor) Panics() uint64 { return r.panics.Load() }

// Leaving reports that Shutdown was called.
func (r *Reactor) Leaving() bool { return r.leaving.Load() }

// Draining reports that the drain has begun, DrainDelay after Shutdown.
func (r *Reactor) Draining() bool { return r.draining.Load() }

// Started is when the reactor was made.
func (r *Reactor) Started() time.Time { return r.started }

// Feed is the reactor's one feed.
func (r *Reactor) Feed() *Feed { return r.feed }

// LoopState is what an event loop holds at one moment.
type LoopState struct {
	Batches int // messages of a channel on their way to its subscribers
	Proxied int // connections of trusted proxies of which something is known
}

// Inspect asks every event loop what it holds, and waits for the answers. It must not
// be called on a loop.
func (r *Reactor) Inspect() []LoopState {
	states := make([]LoopState, len(r.loops))
	var asked sync.WaitGroup
	for i, l := range r.loops {
		asked.Add(1)
		l.post(func() {
			states[i] = LoopState{Batches: len(l.working), Proxied: len(l.proxied)}
			asked.Done()
		})
	}
	asked.Wait()
	return states
}

// PerIP is how many connections of each client are counted for ConnectionsPerIP; empty
// without that limit.
func (r *Reactor) PerIP() map[netip.Addr]int { return r.counts.PerIP() }

// Bridged is how many requests handlers of net/http are working on.
func (r *Reactor) Bridged() int {
	r.bridge.mu.Lock()
	defer r.bridge.mu.Unlock()
	return r.bridge.n
}

// Settings are what a reactor goes by. They are immutable; Configure puts others in
// their place, and every request looks at the present ones once.
type Settings struct {
	Parse          httpparse.Limits
	OutboundBuffer int64 // bytes that may wait for one slow connection
	SendBuffer     int   // bytes of the kernel's buffer for each connection; 0: the system's default

	PollingTimeout time.Duration // silence before a heartbeat
	RequestTimeout time.Duration // from the first byte of a request to its last
	IdleTimeout    time.Duration // from an answer to the next request
	DrainDelay     time.Duration // between Shutdown and the drain
	DrainTimeout   time.Duration // for the subscribers to leave in, see Shutdown
	Keepalive      time.Duration // until a silent peer is given up, by the kernel

	Connections      int // cap of open connections; 0: what the descriptors allow
	ConnectionsPerIP int // cap of front connections of one client; 0: none
	Commands         int // that a WebSocket client may send, a second
	Channels         int // cap of channels of one connection

	Compression bool // WebSockets may negotiate permessage-deflate

	AdminRules             *access.Rules
	FrontTrust, AdminTrust access.Trust
	Origins                access.FrontOrigins

	// Values of Strict-Transport-Security in answers over TLS; empty: none.
	FrontStrictTransport, AdminStrictTransport string

	ticks struct{ polling, request, idle uint32 }
}

// prepare sets what follows from the rest. One tick more each: the tick that a deadline
// counts from can be nearly over.
func (s *Settings) prepare() {
	s.ticks.polling = toTicks(s.PollingTimeout) + 1
	s.ticks.request = toTicks(s.RequestTimeout) + 1
	s.ticks.idle = toTicks(s.IdleTimeout) + 1
}

// Handler answers requests: it is the endpoints as the reactor sees them. Its methods
// run on the connection's event loop, so they must not block.
//
// An endpoint answers through the methods of Conn, before it returns:
//
//	Refuse, Text, JSON, Out        a whole answer, at once
//	NewAnswer, Settle              the answer when the engine has its result
//	Bridge                         the answer of a handler of net/http
//	Join, WatchPresence, Follow    a response that stays open
//	Backlog, LongAnswer            what is stored, behind a Join
//	JoinAll, BeginBundle, Answer   the same for several channels
//	SubscribeMore, Unsubscribe     the commands of a WebSocket
//
// The reactor keeps the order of the answers, whichever way they come.
type Handler interface {
	// Serve answers one complete request. It keeps no byte slice of it.
	Serve(c *Conn, r *Request)
	// Refuses reports, from the head alone, that r will be answered with an error
	// whatever its body is. Nobody then asks the client for the body.
	Refuses(c *Conn, r *Request) bool
	// Opens reports, from the head alone, that the response to r would stay open
	// though r came in on the admin port. It then waits for the answers before it.
	Opens(c *Conn, r *Request) bool
	// Subscribes reports, from the head alone, that r is for a path that subscribes. Over
	// the connection cap Serve then answers it, in the form that its clients come back
	// after, because browsers take a 503 for final. Anything else gets the 503.
	Subscribes(c *Conn, r *Request) bool
	// Command carries out what a WebSocket client has sent as a text message. It keeps no
	// byte of it.
	Command(c *Conn, text []byte)
}
