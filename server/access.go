package server

import (
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
	perIP map[netip.Addr]int // by countedAs; only while limits.connections_per_ip is set
}

// measure finds out how many connections fit. It is called when the server's own
// descriptors are open. Each loop may hold one more for a moment: one that it has
// accepted and is going to refuse, or has counted out and is going to close.
func (a *access) measure(loops int) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		lim.Cur = 1024
	}
	limit := int64(min(lim.Cur, 1<<40))
	own := int64(64) // a guess where /proc is not there
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		own = int64(len(entries))
	}
	a.fits.Store(max(1, limit-own-max(reserveMin, limit*reservePercent/100, int64(2*adminReserve+loops))))
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
	if trust := set.trust(c); trust.trusts(ip) {
		c.set(flagTrusted)
		if trust.proxyHeader {
			c.set(flagProxyHeader | flagMidRequest)
		}
	}
	switch {
	case c.has(flagAdmin) && n > capacity+adminReserve:
		return false
	case !c.has(flagAdmin) && n > capacity:
		c.refusal = reasonConnections
		return n <= capacity+answeredOver
	case !c.has(flagTrusted): // else it speaks for others, who are judged one by one
		a.admit(c, set, ip)
	}
	return true
}

// sourced takes the source of c's PROXY header; the zero Addr for none.
func (a *access) sourced(c *conn, set *settings, source netip.Addr) {
	if source.IsValid() {
		c.loop.proxied[c] = proxied{source: source}
	}
	if peer := c.peer(); c.refusal == reasonPeer && !set.trust(c).trusts(peer) {
		a.admit(c, set, peer)
	}
}

// admit judges the client that c belongs to for its whole life.
func (a *access) admit(c *conn, set *settings, client netip.Addr) {
	if c.has(flagAdmin) {
		if !set.rules.Allowed(client) {
			c.refusal = reasonAddress
		}
		return
	}
	if limit := set.config.Limits.ConnectionsPerIP; limit > 0 {
		if a.count(c, client, false) > limit {
			c.refusal = reasonPerIP
		}
	}
}

// enterOpen counts an open response that a trusted proxy's connection carries for
// client, unless that is one too many. leaveOpen is owed.
func (a *access) enterOpen(c *conn, client netip.Addr, limit int) bool {
	if a.count(c, client, true) <= limit {
		return true
	}
	a.leaveOpen(c)
	return false
}

// leaveOpen takes back what enterOpen has counted.
func (a *access) leaveOpen(c *conn) {
	if c.has(flagPerIP) && c.loop.proxied[c].open {
		a.uncount(c)
	}
}

// count adds one to the client's count and returns it.
func (a *access) count(c *conn, client netip.Addr, open bool) int {
	key := countedAs(client)
	c.set(flagPerIP)
	if c.has(flagTrusted) {
		p := c.loop.proxied[c]
		p.counted, p.open = key, open
		c.loop.proxied[c] = p
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perIP == nil {
		a.perIP = make(map[netip.Addr]int)
	}
	a.perIP[key]++
	return a.perIP[key]
}

// uncount takes c out of the count that it is in.
func (a *access) uncount(c *conn) {
	var key netip.Addr
	if c.has(flagTrusted) {
		p := c.loop.proxied[c]
		key = p.counted
		if p.counted, p.open = (netip.Addr{}), false; p.source.IsValid() {
			c.loop.proxied[c] = p
		} else {
			delete(c.loop.proxied, c)
		}
	} else {
		key = countedAs(remoteIP(c.gc.RemoteAddr()))
	}
	c.clear(flagPerIP)
	a.mu.Lock()
	if a.perIP[key]--; a.perIP[key] <= 0 {
		delete(a.perIP, key)
	}
	a.mu.Unlock()
}

// countedAs is what the limit per address takes for one client: of an IPv6 address
// its network of 64 bits, of which one client has all addresses.
func countedAs(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// leave counts c out.
func (a *access) leave(c *conn) {
	a.conns.Add(-1)
	if c.has(flagPerIP) {
		a.uncount(c)
	}
	if c.has(flagTrusted) {
		delete(c.loop.proxied, c)
	}
}

// refused answers a connection that must not be served and ends it.
func (c *conn) refused(r *request) bool {
	if c.has(flagTrusted) && c.has(flagAdmin) {
		// Every request can be another client's.
		set := c.loop.srv.settings.Load()
		c.refusal = reasonPeer
		if client, ok := c.client(set, r); !ok || !set.rules.Allowed(client) {
			c.refusal = reasonAddress
		}
	}
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
