package access

import (
	"maps"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// reserveMin and reservePercent of the descriptor limit stay free, since gnet ends
	// the whole engine when accept runs out of descriptors.
	reserveMin     = 32
	reservePercent = 2
	// adminReserve of them are for admin connections, so that an operator gets in
	// when subscribers have taken everything.
	adminReserve = 16
	// answeredOver is how many newcomers over the cap, at a time, get an answer that says
	// so. The rest is closed at once.
	answeredOver = 8
)

// Counts counts who is connected. Its methods are concurrency-safe.
type Counts struct {
	conns    atomic.Int64 // of both ports
	capacity atomic.Int64 // connections, less the reserve
	fits     atomic.Int64 // what the descriptor limit allows

	mu    sync.Mutex         // a leaf lock
	perIP map[netip.Addr]int // by countedAs; only while limits.connections_per_ip is set
}

// Room is what a newcomer finds.
type Room uint8

const (
	RoomYes  Room = iota // it may stay
	RoomTell             // there is none, but the newcomer may be answered with that
	RoomNone             // there is none: close it at once
)

// Measure finds out how many connections fit. It is called when the server's own
// descriptors are open. Each loop may hold one more for a moment: one that it has
// accepted and is going to refuse, or has counted out and is going to close.
func (a *Counts) Measure(loops int) {
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

// SetLimit caps the connections; 0: at what fits.
func (a *Counts) SetLimit(connections int) {
	n := a.fits.Load()
	if connections > 0 {
		n = min(n, int64(connections))
	}
	a.capacity.Store(n)
}

// Load returns the open connections and their cap.
func (a *Counts) Load() (conns, limit int64) { return a.conns.Load(), a.capacity.Load() }

// Enter counts a connection in, also when there is no room for it. The caller owes Leave.
func (a *Counts) Enter(admin bool) Room {
	n, capacity := a.conns.Add(1), a.capacity.Load()
	switch {
	case admin && n > capacity+adminReserve:
		return RoomNone
	case admin || n <= capacity:
		return RoomYes
	case n <= capacity+answeredOver:
		return RoomTell
	}
	return RoomNone
}

// Leave counts a connection out.
func (a *Counts) Leave() { a.conns.Add(-1) }

// Add counts one more connection of a client and returns how many it has. The caller
// owes Remove.
func (a *Counts) Add(client netip.Addr) int {
	key := countedAs(client)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.perIP == nil {
		a.perIP = make(map[netip.Addr]int)
	}
	a.perIP[key]++
	return a.perIP[key]
}

// Remove takes back one Add.
func (a *Counts) Remove(client netip.Addr) {
	key := countedAs(client)
	a.mu.Lock()
	if a.perIP[key]--; a.perIP[key] <= 0 {
		delete(a.perIP, key)
	}
	a.mu.Unlock()
}

// countedAs is what the limit per address takes for one client. For IPv6 it is the
// network of 64 bits, since one client usually has all of its addresses.
func countedAs(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// PerIP copies the counts by client, as Add keeps them.
func (a *Counts) PerIP() map[netip.Addr]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.perIP)
}
