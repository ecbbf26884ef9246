package secure

import (
	"container/list"
	"math/bits"
	"net/netip"
	"sync"
)

const (
	// maxWaiting is how many bytes those who wait for a place may hold together.
	maxWaiting = 32 << 20
	// waitingCost is what one of them holds beside its hello, in bytes, about: its record,
	// its place in the queue, the queue of its address.
	waitingCost = 512
	// ranks is how many numbers of binary digits up to that of maxWaiting there are.
	ranks = 27
)

// places caps the handshakes in flight, since each costs 38 KB.
//
// One address may hold half of the places, whether others wait or not. So clients of one
// address who stay silent behind their hello leave the other half, and never delay anybody
// else; and where all clients come by one address (a TCP load balancer without the PROXY
// header), half of the places are theirs at all times. Whoever finds no place waits in the
// queue of its address, and the addresses take turns: a newcomer is behind one client of
// each other address, however many these have waiting. If several addresses hold all
// places, the next comes free within 3 s, the time that a handshake may take.
//
// When those who wait hold maxWaiting, the last of an address that holds most, or half of that,
// make room for one whose address holds less. So a few addresses cannot keep others from waiting either.
type places struct {
	counters *Counters

	mu      sync.Mutex // only a Handshake's lock is taken within it
	limit   int        // places
	share   int        // of these, for one address
	taken   int
	bytes   int                    // held by those who wait
	origins map[netip.Addr]*origin // with somebody in flight or waiting; by countedAs
	turns   list.List              // of *origin: those with somebody waiting and a part of the share left
	ranks   [ranks]list.List       // of *origin: those with somebody waiting, by the binary digits of their bytes
}

// origin is the clients of one address.
type origin struct {
	addr    netip.Addr
	taken   int
	bytes   int           // held by those in waiting
	waiting list.List     // of *Handshake
	turn    *list.Element // in places.turns, or nil
	ranked  *list.Element // in places.ranks[rank], or nil
	rank    int
}

// ticket is what places keeps in each Handshake. It belongs to places.mu.
type ticket struct {
	origin *origin
	queued *list.Element // in origin.waiting, or nil: it has got its place
	bytes  int           // counted in places.bytes
}

// countedAs is what takes a share for one client. For IPv6 it is the network of 48 bits: one
// customer may have all of it, and if its 65,536 networks of 64 bits took turns, everybody
// else would wait behind each of them. That other customers may share it is no worse than an
// IPv4 address behind which a provider has thousands.
func countedAs(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(48); err == nil {
			return p.Addr()
		}
	}
	return a
}

// setLimit sets the number of places. Whoever is in flight stays.
func (p *places) setLimit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.share = n, (n+1)/2
	for _, o := range p.origins {
		p.line(o)
	}
	p.next()
}

// enter starts h, or lets it wait. It is false if too much waits. The caller refuses those
// who have made room for h.
func (p *places) enter(h *Handshake, client netip.Addr) (entered bool, refused []*Handshake) {
	addr := countedAs(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.origins[addr]
	if o == nil {
		o = &origin{addr: addr}
	}
	h.ticket.origin = o
	if p.taken >= p.limit || o.taken >= p.share {
		n := cap(h.in) + waitingCost
		if entered, refused = p.hold(h, n); !entered {
			return false, refused
		}
		h.ticket.queued = o.waiting.PushBack(h)
		p.counters.Waiting.Add(1)
		p.line(o)
	} else {
		p.start(h)
	}
	if p.origins == nil {
		p.origins = make(map[netip.Addr]*origin)
	}
	p.origins[addr] = o
	return true, refused
}

// grow counts n more bytes of h, if it waits. It is false if too much waits. The caller
// refuses those who have made room for them.
func (p *places) grow(h *Handshake, n int) (grown bool, refused []*Handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.ticket.queued == nil {
		return true, nil
	}
	return p.hold(h, n)
}

// hold counts n more bytes of h, which waits or is about to. It is false if that is too much.
func (p *places) hold(h *Handshake, n int) (held bool, refused []*Handshake) {
	o := h.ticket.origin
	for p.bytes+n > maxWaiting {
		most := p.holdsMost()
		if most == nil || most.bytes <= o.bytes+n {
			return false, refused
		}
		last := most.waiting.Back().Value.(*Handshake)
		p.remove(last)
		refused = append(refused, last)
	}
	h.ticket.bytes += n
	p.count(o, n)
	return true, refused
}

// count adds n bytes to what those of o who wait hold.
func (p *places) count(o *origin, n int) {
	p.bytes += n
	o.bytes += n
	rank := bits.Len(uint(o.bytes))
	if rank == o.rank {
		return
	}
	if o.ranked != nil {
		p.ranks[o.rank].Remove(o.ranked)
		o.ranked = nil
	}
	if o.rank = rank; rank > 0 {
		o.ranked = p.ranks[rank].PushBack(o)
	}
}

// holdsMost is an address whose clients hold most while they wait, or half of that.
func (p *places) holdsMost() *origin {
	for i := range p.ranks {
		if first := p.ranks[ranks-1-i].Front(); first != nil {
			return first.Value.(*origin)
		}
	}
	return nil
}

// withdraw takes h out of its queue. It is false if h has got its place.
func (p *places) withdraw(h *Handshake) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.ticket.queued == nil {
		return false
	}
	p.remove(h)
	return true
}

// remove takes h, which waits, out of its queue.
func (p *places) remove(h *Handshake) {
	o := h.ticket.origin
	p.unqueue(h)
	if o.waiting.Len() == 0 && o.turn != nil {
		p.turns.Remove(o.turn)
		o.turn = nil
	}
	p.tidy(o)
}

// leave gives the place of h to the next.
func (p *places) leave(h *Handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := h.ticket.origin
	p.taken--
	o.taken--
	p.counters.InFlight.Add(-1)
	p.line(o)
	p.next()
	p.tidy(o)
}

// line puts o behind the others if it has somebody waiting who may take a place.
func (p *places) line(o *origin) {
	if o.turn == nil && o.waiting.Len() > 0 && o.taken < p.share {
		o.turn = p.turns.PushBack(o)
	}
}

// next gives places that are free to those who wait, one address after the other.
func (p *places) next() {
	for p.taken < p.limit && p.turns.Len() > 0 {
		o := p.turns.Remove(p.turns.Front()).(*origin)
		o.turn = nil
		if o.taken >= p.share {
			continue // the share has become smaller meanwhile
		}
		h := o.waiting.Front().Value.(*Handshake)
		p.unqueue(h)
		p.start(h)
		p.line(o)
	}
}

func (p *places) unqueue(h *Handshake) {
	h.ticket.origin.waiting.Remove(h.ticket.queued)
	h.ticket.queued = nil
	p.count(h.ticket.origin, -h.ticket.bytes)
	p.counters.Waiting.Add(-1)
}

func (p *places) start(h *Handshake) {
	p.taken++
	h.ticket.origin.taken++
	p.counters.InFlight.Add(1)
	h.begin()
}

func (p *places) tidy(o *origin) {
	if o.taken == 0 && o.waiting.Len() == 0 {
		delete(p.origins, o.addr)
	}
}
