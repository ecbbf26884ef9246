package server

import (
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// opened makes the record of a new connection.
func (r *Reactor) opened(gc gnet.Conn) gnet.Action {
	l := r.loopOf(gc.EventLoop())
	l.now = r.clock()
	c := &conn{gc: gc, loop: l, fd: int32(gc.Fd()), since: l.now, slot: noSlot}
	c.put(flagAdmin, r.listen.isAdmin(gc.LocalAddr()))
	if r.draining.Load() && !c.has(flagAdmin) {
		l.stats.refusedAtOpen.Add(1)
		return gnet.Close
	}
	if !c.enter() {
		c.leave()
		l.stats.refusedAtOpen.Add(1)
		return gnet.Close
	}
	c.setSocket()
	gc.SetContext(c)
	l.stats.opened(c)
	l.arm(c)
	return gnet.None
}

// setSocket sets what gnet has no option for. A failure leaves the system's default.
func (c *conn) setSocket() {
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
