package monitor

import (
	"log/slog"
	"net/http"
	"time"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/secure"
)

// Options is what New needs. All but LogFailures and TLS is required.
type Options struct {
	Log     *slog.Logger
	Hub     *channel.Hub
	Engine  channel.Engine
	Reactor *reactor.Reactor
	// Config returns the present configuration. It is concurrency-safe.
	Config func() *config.Config
	// LogFailures is how many log lines could not be written; nil: none. It is
	// concurrency-safe.
	LogFailures func() uint64
	// TLS of the ports that have it, by role: front, admin.
	TLS map[string]*secure.Port
}

// Monitor shows an operator how the server does. Methods that take a connection run on
// its event loop, tick and what it calls on the ticking goroutine, the others anywhere.
type Monitor struct {
	log         *slog.Logger
	hub         *channel.Hub
	engine      channel.Engine
	reactor     *reactor.Reactor
	config      func() *config.Config
	logFailures func() uint64
	tls         map[string]*secure.Port

	expiry   expiryWatch
	settling settling
	memory   memoryGuard
	feed     feedHistory
	lister   *lister
	Metrics  http.Handler
}

// New makes a monitor, whose Tick the reactor's ticking goroutine calls.
func New(o Options) *Monitor {
	m := &Monitor{
		log: o.Log, hub: o.Hub, engine: o.Engine, reactor: o.Reactor,
		tls: o.TLS, config: o.Config, logFailures: o.LogFailures, lister: newLister(o.Hub),
	}
	m.Metrics = newMetrics(m)
	return m
}

// Tick looks after memory and feeds the dashboards. now is in ticks of the reactor's.
func (m *Monitor) Tick(now uint32) {
	m.settleMemory(now)
	m.guardMemory()
	m.feedTick(now)
	m.lister.forget(time.Now())
	m.watchExpiry(time.Now())
}

// MemoryShort reports that newcomers are to be refused.
func (m *Monitor) MemoryShort() bool { return m.memory.over.Load() }
