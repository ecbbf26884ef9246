package reactor

import (
	"errors"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"icomet/server/access"
	"icomet/server/wire"
)

// opened makes the record of a new connection.
func (r *Reactor) opened(gc gnet.Conn) gnet.Action {
	l := r.loopOf(gc.EventLoop())
	l.now = r.clock()
	at, ok := r.listen.Load().of(gc.LocalAddr())
	if !ok { // who may do what, and whether it is TLS, is not known
		l.stats.RefusedAtOpen.Add(1)
		return gnet.Close
	}
	c := l.newConn(gc, at)
	if r.draining.Load() && !c.has(flagAdmin) {
		l.stats.RefusedAtOpen.Add(1)
		return gnet.Close
	}
	if !c.enter() {
		c.leave()
		l.stats.RefusedAtOpen.Add(1)
		return gnet.Close
	}
	c.setSocket()
	gc.SetContext(c)
	l.stats.opened(c)
	l.arm(c)
	return gnet.None
}

func (l *loop) newConn(gc gnet.Conn, at Address) *Conn {
	var c *Conn
	if at.TLS {
		c = &new(secured).Conn
		c.marks = markTLS | markShaking
	} else {
		c = new(Conn)
	}
	c.gc, c.loop, c.fd, c.since, c.slot = gc, l, int32(gc.Fd()), l.now, noSlot
	c.conn = c
	c.put(flagAdmin, at.Admin)
	return c
}

// setSocket sets what gnet has no option for. A failure leaves the system's default.
func (c *Conn) setSocket() {
	r := c.loop.reactor
	set := r.settings.Load()
	if set.Keepalive != r.keepalive { // a reload: the listeners hand on the old one
		_ = c.gc.SetKeepAlive(true, set.Keepalive, probeInterval(set.Keepalive), keepaliveProbes)
	}
	// Keep-alive does not run while data is unacknowledged, so a vanished peer that
	// gets heartbeats would last a quarter of an hour without this. It also ends the
	// probing, instead of the probes' number: it lies between the second and the third.
	// At the second a peer whose first was lost would be cut.
	_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT,
		int((set.Keepalive+3*probeInterval(set.Keepalive)/2)/time.Millisecond))
	if set.SendBuffer > 0 {
		_ = c.gc.SetWriteBuffer(set.SendBuffer)
	}
}

// keepaliveProbes fit into the time of keepalive, one after the other.
const keepaliveProbes = 5

// probeInterval is the time between two of them. The system counts it in seconds.
func probeInterval(keepalive time.Duration) time.Duration {
	return max(time.Second, keepalive/keepaliveProbes)
}

// overRetry is the Retry-After, in seconds, of a newcomer over the cap.
const overRetry = 5

// Refusals of a subscriber: over limits.connections_per_ip, over the cap.
var (
	ErrPerIP       = errors.New("too many connections from this address")
	ErrConnections = errors.New("too many connections")
)

// proxied is what is known of a connection that a trusted proxy has made. It is in
// loop.proxied and not in Conn, because few servers have such connections.
type proxied struct {
	source  netip.Addr // of the PROXY header; the zero Addr without one
	silent  bool       // its PROXY header names no source
	counted netip.Addr // whose count (limits.connections_per_ip) it is in, or the zero Addr
	open    bool       // it is counted for the open response, else for its life
}

// trust is the part of the settings that belongs to the connection's port.
func (c *Conn) trust() *access.Trust {
	set := c.loop.reactor.settings.Load()
	if c.has(flagAdmin) {
		return &set.AdminTrust
	}
	return &set.FrontTrust
}

// peer is who the connection itself comes from: the source of its PROXY header, or
// else its TCP peer.
func (c *Conn) peer() netip.Addr {
	if c.has(flagTrusted) {
		if p := c.loop.proxied[c]; p.source.IsValid() {
			return p.source
		}
	}
	return access.RemoteIP(c.gc.RemoteAddr())
}

// client is who r comes from; ok is false when that cannot be told, see access.Trust. A PROXY
// header that names nobody is the proxy's last word: what X-Forwarded-For says then was not
// written by a proxy that knows its client.
func (c *Conn) client(r *Request) (client netip.Addr, ok bool) {
	peer := c.peer()
	if !c.has(flagTrusted) || c.loop.proxied[c].silent {
		return peer, true
	}
	return c.trust().Client(peer, &r.Request)
}

// enter counts c in and reports whether it may stay. c.refusal() then says what its
// requests are refused for. The caller owes leave.
func (c *Conn) enter() bool {
	room := c.loop.reactor.counts.Enter(c.has(flagAdmin))
	ip := access.RemoteIP(c.gc.RemoteAddr())
	if trust := c.trust(); trust.Trusts(ip) {
		c.set(flagTrusted)
		if trust.ProxyHeader {
			c.set(flagProxyHeader | flagMidRequest)
		}
	}
	switch {
	case room != access.RoomYes:
		c.setRefusal(ReasonConnections)
	case !c.has(flagTrusted): // else it speaks for others, who are judged one by one
		c.admit(ip)
	}
	return room != access.RoomNone
}

// leave counts c out.
func (c *Conn) leave() {
	c.loop.reactor.counts.Leave()
	if c.has(flagPerIP) {
		c.uncount()
	}
	if c.has(flagTrusted) {
		delete(c.loop.proxied, c)
	}
}

// sourced takes the source address of c's PROXY header; the zero Addr for none.
func (c *Conn) sourced(source netip.Addr) {
	c.loop.proxied[c] = proxied{source: source, silent: !source.IsValid()}
	if peer := c.peer(); c.refusal() == ReasonPeer && !c.trust().Trusts(peer) {
		c.admit(peer)
	}
}

// admit checks the one client that all requests of c come from.
func (c *Conn) admit(client netip.Addr) {
	set := c.loop.reactor.settings.Load()
	if c.has(flagAdmin) {
		if !set.AdminRules.Allowed(client) {
			c.setRefusal(ReasonAddress)
		}
		return
	}
	if limit := set.ConnectionsPerIP; limit > 0 {
		if c.count(client, false) > limit {
			c.setRefusal(ReasonPerIP)
		}
	}
}

// Over says why c is one connection too many: ErrPerIP, of its client, or ErrConnections,
// of all. nil: it is not.
func (c *Conn) Over() error {
	switch c.refusal() {
	case ReasonPerIP:
		return ErrPerIP
	case ReasonConnections:
		return ErrConnections
	}
	return nil
}

// EnterOpen counts the open response that r is to get for r's client, if a trusted
// proxy's connection carries it. Error: ErrPerIP, when that is one too many. leaveOpen
// is owed.
func (c *Conn) EnterOpen(r *Request) error {
	limit := c.loop.reactor.settings.Load().ConnectionsPerIP
	if limit == 0 || !c.has(flagTrusted) || c.has(flagPerIP) {
		return nil
	}
	if client, _ := c.client(r); c.count(client, true) > limit {
		c.leaveOpen()
		return ErrPerIP
	}
	return nil
}

// leaveOpen takes back what EnterOpen has counted.
func (c *Conn) leaveOpen() {
	if c.has(flagPerIP) && c.loop.proxied[c].open {
		c.uncount()
	}
}

// count adds one to the client's count and returns it.
func (c *Conn) count(client netip.Addr, open bool) int {
	c.set(flagPerIP)
	if c.has(flagTrusted) {
		p := c.loop.proxied[c]
		p.counted, p.open = client, open
		c.loop.proxied[c] = p
	}
	return c.loop.reactor.counts.Add(client)
}

// uncount takes c out of the count that it is in.
func (c *Conn) uncount() {
	client := access.RemoteIP(c.gc.RemoteAddr())
	if c.has(flagTrusted) {
		p := c.loop.proxied[c]
		client = p.counted
		if p.counted, p.open = (netip.Addr{}), false; p.source.IsValid() || p.silent {
			c.loop.proxied[c] = p
		} else {
			delete(c.loop.proxied, c)
		}
	}
	c.clear(flagPerIP)
	c.loop.reactor.counts.Remove(client)
}

// refused answers a connection that must not be served and ends it.
func (c *Conn) refused(r *Request) bool {
	if c.has(flagTrusted) && c.has(flagAdmin) {
		// Every request can be another client's.
		c.setRefusal(ReasonPeer)
		client, ok := c.client(r)
		if !ok || !c.loop.reactor.settings.Load().AdminRules.Allowed(client) {
			c.setRefusal(ReasonAddress)
		}
	}
	switch c.refusal() {
	case ReasonAddress:
		c.failWith(wire.Head{Status: 403}, "this address may not use the admin port (admin.allow, admin.deny)", ReasonAddress)
		return true
	case ReasonConnections:
		if !c.loop.reactor.handler.Subscribes(c, r) {
			c.failWith(wire.Head{Status: 503, RetryIn: overRetry}, "too many connections (limits.connections)", ReasonConnections)
			return true
		}
		r.Connection = wire.ConnClose // the subscriber is told in-band, see Over
	case ReasonPerIP: // likewise, see also EnterOpen
		r.Connection = wire.ConnClose
	}
	return false
}

// takeProxyHeader waits for the PROXY header and goes on with what is behind it. It
// is due limits.request_timeout after the connection was made: flagMidRequest.
func (c *Conn) takeProxyHeader(b []byte) {
	ex := c.exchange()
	if ex.in == nil {
		ex.in = getBuffer()
	}
	_, _ = ex.in.Write(b)
	n, err := access.ProxyHeaderLen(ex.in.B)
	if err == nil && (n == 0 || n > len(ex.in.B)) {
		return
	}
	var source netip.Addr
	if err == nil {
		source, err = access.ParseProxyHeader(ex.in.B[:n])
	}
	if err != nil {
		c.failWith(wire.Head{Status: 400}, err.Error(), ReasonBadRequest)
		return
	}
	c.clear(flagProxyHeader | flagMidRequest)
	c.restart()
	c.sourced(source)
	in := ex.in
	ex.in = nil
	rest := in.B[n:]
	if c.isTLS() {
		c.loop.arm(c) // for the hello, which may come in parts
		if len(rest) > 0 {
			c.secured().arrive(rest)
		}
	} else {
		c.ingest(rest)
	}
	putBuffer(in)
}
