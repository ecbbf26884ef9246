package reactor

import (
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

const (
	// acceptTries is how often accept may fail within acceptPause before it is left alone
	// for as long. What it failed for is then often there still, and the listener still
	// readable: trying on would take a whole core.
	acceptTries = 4
	acceptPause = tickLength
	// acceptLogEvery is the shortest time between two log lines about it.
	acceptLogEvery = time.Second
	// acceptFailed is the format of gnet's own line about it.
	acceptFailed = "Accept() failed due to error: %v"
	// listenEvents are what gnet asks of a listener.
	listenEvents = unix.EPOLLIN | unix.EPOLLPRI
)

// acceptError takes the place of gnet's ErrAcceptSocket. gnet ends the engine, and with it
// everybody, when errors.Is finds that one (gnet fact 7). No error is equal to a value of
// a type that cannot be compared, so it finds none, and goes on.
type acceptError []string

func (e acceptError) Error() string { return e[0] }

func init() { gneterrors.ErrAcceptSocket = acceptError{gneterrors.ErrAcceptSocket.Error()} }

// acceptGuard sees to it that a failing accept costs neither a core nor the log's space.
// gnet tells of it only by its log line. The methods are concurrency-safe.
type acceptGuard struct {
	log      *slog.Logger
	failures atomic.Uint64

	mu        sync.Mutex // a leaf lock
	listeners []listener
	begun     time.Time // of the present count of tries
	tries     int
	paused    bool
	ended     bool // the descriptors may be somebody else's
	logged    time.Time
	unlogged  int // failures since then
}

// listener is one of gnet's, in the epoll set of its event loop.
type listener struct{ epoll, fd int }

// listenersOf are the listeners of an event loop. gnet does not show them, so they are
// read from its fields.
func listenersOf(el gnet.EventLoop) (list []listener, err error) {
	v := reflect.Indirect(reflect.ValueOf(el))
	if v.Kind() != reflect.Struct {
		return nil, errUnknownGnet
	}
	poller, fds := v.FieldByName("poller"), v.FieldByName("listeners")
	if poller.Kind() != reflect.Pointer || fds.Kind() != reflect.Map || poller.Elem().FieldByName("fd").Kind() != reflect.Int {
		return nil, errUnknownGnet
	}
	for _, fd := range fds.MapKeys() {
		list = append(list, listener{int(poller.Elem().FieldByName("fd").Int()), int(fd.Int())})
	}
	return list, nil
}

var errUnknownGnet = errors.New("this version of gnet keeps its listeners elsewhere")

// watch takes the listeners of all event loops.
func (g *acceptGuard) watch(list []listener) {
	g.mu.Lock()
	g.listeners = list
	g.mu.Unlock()
}

// failed counts a failure. It runs on the event loop that has met it.
func (g *acceptGuard) failed(reason any) {
	g.failures.Add(1)
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unlogged++; now.Sub(g.logged) >= acceptLogEvery {
		g.log.Warn("accepting a connection has failed", "error", reason, "times", g.unlogged)
		g.logged, g.unlogged = now, 0
	}
	if now.Sub(g.begun) > acceptPause {
		g.begun, g.tries = now, 0
	}
	if g.tries++; g.tries < acceptTries || g.paused || len(g.listeners) == 0 || g.ended {
		return
	}
	g.paused = true
	g.ask(0)
	time.AfterFunc(acceptPause, g.resume)
}

func (g *acceptGuard) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused = false; !g.ended {
		g.ask(listenEvents)
	}
}

// ask sets what epoll reports of the listeners. g.mu is held.
func (g *acceptGuard) ask(events uint32) {
	for _, ln := range g.listeners {
		// It fails only for a listener that is gone.
		_ = unix.EpollCtl(ln.epoll, unix.EPOLL_CTL_MOD, ln.fd, &unix.EpollEvent{Fd: int32(ln.fd), Events: events})
	}
}

// end is called before gnet closes the listeners.
func (g *acceptGuard) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
}

// watchListeners gives the guard what it needs of gnet, when all loops are known.
func (r *Reactor) watchListeners() error {
	r.byLoopMu.RLock()
	defer r.byLoopMu.RUnlock()
	var all []listener
	for el := range r.byLoop {
		list, err := listenersOf(el)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	r.accepts.watch(all)
	return nil
}

// AcceptFailures is how often accepting a connection has failed.
func (r *Reactor) AcceptFailures() uint64 { return r.accepts.failures.Load() }
