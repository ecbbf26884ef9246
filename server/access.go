package server

import (
	"crypto/subtle"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// reserveMin and reservePercent of the descriptor limit stay free: gnet ends
	// the whole engine when accept runs out of descriptors (gnet fact 7).
	reserveMin     = 32
	reservePercent = 2
	// adminReserve of them are for admin connections, so that an operator gets in
	// when subscribers have taken everything.
	adminReserve = 16
	// answeredOver newcomers over the cap at a time are told so; the rest is closed.
	answeredOver = 8
	// overRetry is the Retry-After, in seconds, of a newcomer over the cap.
	overRetry = 5
)

// access counts who is connected. Its methods are concurrency-safe.
type access struct {
	conns    atomic.Int64 // of both ports
	capacity atomic.Int64 // connections, less the reserve
	fits     atomic.Int64 // what the descriptor limit allows

	mu    sync.Mutex
	perIP map[netip.Addr]int // only while limits.connections_per_ip is set
}

// measure finds out how many connections fit. It is called when the server's own
// descriptors are open.
func (a *access) measure() {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		lim.Cur = 1024
	}
	limit := int64(min(lim.Cur, 1<<40))
	own := int64(64) // a guess where /proc is not there
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		own = int64(len(entries))
	}
	a.fits.Store(max(1, limit-own-max(reserveMin, limit*reservePercent/100)))
}

func (a *access) setLimit(connections int) {
	n := a.fits.Load()
	if connections > 0 {
		n = min(n, int64(connections))
	}
	a.capacity.Store(n)
}

// enter counts c in and reports whether it may stay; c.refusal says what its
// requests are refused for.
func (a *access) enter(c *conn, set *settings, remote net.Addr) bool {
	n := a.conns.Add(1)
	capacity := a.capacity.Load()
	ip := remoteIP(remote)
	if c.has(flagAdmin) {
		if n > capacity+adminReserve {
			return false
		}
		if !set.rules.Allowed(ip) {
			c.refusal = reasonAddress
		}
		return true
	}
	if n > capacity {
		c.refusal = reasonConnections
		return n <= capacity+answeredOver
	}
	if limit := set.config.Limits.ConnectionsPerIP; limit > 0 {
		c.set(flagPerIP)
		a.mu.Lock()
		if a.perIP == nil {
			a.perIP = make(map[netip.Addr]int)
		}
		a.perIP[ip]++
		over := a.perIP[ip] > limit
		a.mu.Unlock()
		if over {
			c.refusal = reasonPerIP
		}
	}
	return true
}

// leave counts c out.
func (a *access) leave(c *conn) {
	a.conns.Add(-1)
	if !c.has(flagPerIP) {
		return
	}
	ip := remoteIP(c.gc.RemoteAddr())
	a.mu.Lock()
	if a.perIP[ip]--; a.perIP[ip] <= 0 {
		delete(a.perIP, ip)
	}
	a.mu.Unlock()
}

func remoteIP(addr net.Addr) netip.Addr {
	if t, ok := addr.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// refused answers a connection that must not be served and ends it.
func (c *conn) refused(r *request) bool {
	switch c.refusal {
	case reasonAddress:
		c.failWith(head{status: 403}, "this address may not use the admin port (admin.allow, admin.deny)", reasonAddress)
		return true
	case reasonConnections:
		c.failWith(head{status: 503, retryIn: overRetry}, "too many connections (limits.connections)", reasonConnections)
		return true
	case reasonPerIP: // subscribers are told in-band, see join
		r.conn = connClose
	}
	return false
}

// authorized checks the admin key, in constant time for each one configured.
func (l *loop) authorized(r *request) bool {
	keys := l.srv.settings.Load().config.Admin.Keys
	if len(keys) == 0 {
		return true
	}
	const scheme = "bearer "
	given := r.Get("authorization")
	if len(given) < len(scheme) || !equalFoldASCII(given[:len(scheme)], scheme) {
		return false
	}
	given = given[len(scheme):]
	ok := 0
	for _, key := range keys {
		ok |= subtle.ConstantTimeCompare(given, []byte(key))
	}
	return ok == 1
}

// equalFoldASCII compares with a lower-case word.
func equalFoldASCII(b []byte, lower string) bool {
	for i := range b {
		if x := b[i]; x != lower[i] && (x < 'A' || x > 'Z' || x|0x20 != lower[i]) {
			return false
		}
	}
	return len(b) == len(lower)
}
