// Package systemd tells the service manager how the server is doing (sd_notify): when it
// is ready, reloads and stops, a line for "systemctl status", and that it is alive. Where
// there is no service manager it does nothing. It knows the server only by the interface
// Server.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// readyPatience is how long a server whose ports answer may take to be ready, if, say,
	// Redis has just gone. Then it counts as started all the same: a new start would not
	// bring Redis back, and load balancers go by /readyz. (Without Redis at the very start
	// the process ends.) It is shorter than systemd's TimeoutStartSec, 90 s.
	readyPatience = 30 * time.Second
	// readyPeriod is how often a server that starts is asked whether it is ready.
	readyPeriod = 100 * time.Millisecond
	// statusPeriod is how often the status line is brought up to date.
	statusPeriod = 5 * time.Second
	// watchdogShare of the watchdog's time passes between two signs of life, so that one
	// check that finds a loop busy does not end the process.
	watchdogShare = 4
)

// Server is what there is to tell. Its methods are concurrency-safe.
type Server interface {
	// Ready is closed when both ports serve.
	Ready() <-chan struct{}
	// Unready lists why /readyz is not 200; empty: it is.
	Unready() []string
	// Alive is an error when an event loop does not run.
	Alive() error
	// Load counts what the server holds.
	Load() (connections, channels, subscribers int64)
}

// Notifier talks to the service manager. Its methods may be called from any goroutine.
type Notifier struct {
	srv      Server
	log      *slog.Logger
	enabled  bool          // there is a service manager that listens
	watchdog time.Duration // within which it wants a sign of life; 0: it wants none
	patience time.Duration // readyPatience, but for tests

	mu       sync.Mutex
	ready    bool   // READY=1 has been sent
	stopping bool   // STOPPING=1 has been sent
	reload   string // what was wrong with the last reload
	status   string // the last one that was sent
	failed   bool   // that nothing can be sent has been logged
}

// New looks in the environment for a service manager.
func New(srv Server, log *slog.Logger) *Notifier {
	n := &Notifier{srv: srv, log: log, enabled: os.Getenv("NOTIFY_SOCKET") != "", patience: readyPatience}
	if !n.enabled {
		return n
	}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog gets no signs of life", slog.Any("error", err))
	}
	return n
}

// Run reports until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	if !n.enabled {
		return
	}
	select {
	case <-n.srv.Ready():
	case <-ctx.Done():
		return
	}
	n.waitUntilReady(ctx)
	period := statusPeriod
	if n.watchdog > 0 {
		period = min(period, n.watchdog/watchdogShare)
	}
	for ticks := time.NewTicker(period); ; {
		n.report(n.watchdog > 0)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			ticks.Stop()
			return
		}
	}
}

// waitUntilReady sends READY=1 when /readyz is 200, or after n.patience, but not while an
// event loop hangs.
func (n *Notifier) waitUntilReady(ctx context.Context) {
	ticks := time.NewTicker(readyPeriod)
	defer ticks.Stop()
	for began := time.Now(); ; {
		alive := n.srv.Alive() == nil
		if alive && (len(n.srv.Unready()) == 0 || time.Since(began) > n.patience) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if !n.stopping {
				n.ready, n.status = true, n.statusLine()
				n.send(daemon.SdNotifyReady + "\n" + n.status)
			}
			return
		}
		n.report(false)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// report brings the status line up to date, and gives a sign of life if one is wanted
// and every event loop runs.
func (n *Notifier) report(life bool) {
	alive := n.srv.Alive()
	n.mu.Lock()
	defer n.mu.Unlock()
	var states []string
	if life && alive == nil {
		states = append(states, daemon.SdNotifyWatchdog)
	}
	if line := n.statusLine(); line != n.status {
		n.status = line
		states = append(states, line)
	}
	if len(states) > 0 {
		n.send(strings.Join(states, "\n"))
	}
}

// statusLine is what "systemctl status" shows. n.mu is held.
func (n *Notifier) statusLine() string {
	state := "Serving"
	unready := n.srv.Unready()
	switch {
	case n.stopping:
		state = "Draining"
	case len(unready) > 0:
		state = "Not ready (" + strings.Join(unready, "; ") + ")"
	}
	connections, channels, subscribers := n.srv.Load()
	line := fmt.Sprintf("STATUS=%s: %d connections, %d channels, %d subscribers", state, connections, channels, subscribers)
	if n.reload != "" {
		line += "; the last reload changed nothing: " + n.reload
	}
	return strings.ReplaceAll(line, "\n", " ")
}

// Reloading says that the configuration is being read again. Reloaded has to follow.
func (n *Notifier) Reloading() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready && !n.stopping {
		n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	}
}

// Reloaded says that the reload is over. With an error the old configuration stays, which
// the status line then says until a reload succeeds.
func (n *Notifier) Reloaded(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reload = ""
	if err != nil {
		n.reload = err.Error()
	}
	if n.ready && !n.stopping {
		n.status = n.statusLine()
		n.send(daemon.SdNotifyReady + "\n" + n.status)
	}
}

// Stopping says that the server leaves, and how long that may take: the service manager
// waits as long, even if its own limit (TimeoutStopSec) is shorter.
func (n *Notifier) Stopping(limit time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopping = true
	n.status = n.statusLine()
	n.send(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d\n%s", daemon.SdNotifyStopping, limit.Microseconds(), n.status))
}

// send logs the first failure. n.mu is held.
func (n *Notifier) send(state string) {
	if !n.enabled {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil && !n.failed {
		n.failed = true
		n.log.Warn("the service manager cannot be told how the server is doing", slog.Any("error", err))
	}
}
