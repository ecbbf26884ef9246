package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// Listeners are the resolved addresses of both ports, and the probes that hold
// them until gnet binds.
type Listeners struct {
	front, admin         *net.TCPAddr
	frontAddr, adminAddr string // as configured
	probes               []net.Listener
}

// Listen binds both addresses, HOST:PORT, plainly. gnet binds with SO_REUSEPORT, so
// that a second server on the same ports would start without a word; and port 0 has to
// be one concrete port for all loops. The error names key, address and the system's
// words. Release, or a reactor's Run or Close, has to follow.
func Listen(front, admin string) (*Listeners, error) {
	a := &Listeners{frontAddr: front, adminAddr: admin}
	var err error
	if a.front, err = a.bind("front.listen", front); err == nil {
		a.admin, err = a.bind("admin.listen", admin)
	}
	if err != nil {
		a.Release()
		return nil, err
	}
	return a, nil
}

func (a *Listeners) bind(key, address string) (*net.TCPAddr, error) {
	ln, err := net.Listen(listenNetwork(address), address)
	if err != nil {
		// The system's words, without the address that is named already.
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		if errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w: ports below 1024 need the capability CAP_NET_BIND_SERVICE "+
				"(systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; or setcap cap_net_bind_service=+ep on the program)", err)
		}
		return nil, fmt.Errorf("%s %s: %w", key, address, err)
	}
	a.probes = append(a.probes, ln)
	return ln.Addr().(*net.TCPAddr), nil
}

// Release gives the addresses up.
func (a *Listeners) Release() {
	for _, ln := range a.probes {
		_ = ln.Close()
	}
	a.probes = nil
}

// listenNetwork binds as gnet will: an IPv4 address to IPv4 only, an IPv6 address
// to IPv6 only, an empty host to both.
func listenNetwork(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return "tcp"
	case ip.To4() != nil:
		return "tcp4"
	}
	return "tcp6"
}

// gnetAddrs are the addresses for gnet, with the bound ports.
func (a *Listeners) gnetAddrs() []string {
	return []string{gnetAddr(a.frontAddr, a.front), gnetAddr(a.adminAddr, a.admin)}
}

func gnetAddr(address string, bound *net.TCPAddr) string {
	host, _, _ := net.SplitHostPort(address)
	network := "tcp://"
	if host != "" {
		host = bound.IP.String()
	} else if bound.IP.To4() != nil {
		// The kernel has no IPv6, which gnet would try.
		network, host = "tcp4://", bound.IP.String()
	}
	return network + net.JoinHostPort(host, fmt.Sprint(bound.Port))
}

// isAdmin tells the role of a connection by the listener it came in on.
func (a *Listeners) isAdmin(local net.Addr) bool {
	t, ok := local.(*net.TCPAddr)
	if !ok || t.Port != a.admin.Port {
		return false
	}
	return a.front.Port != a.admin.Port || t.IP.Equal(a.admin.IP)
}

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
