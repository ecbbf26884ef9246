package channel

import (
	"sync"
	"sync/atomic"
)

// messageCost is what a message counts against a limit besides its content, in bytes:
// about what it takes in an answer.
const messageCost = 64

// reads are the channels whose backlog is being read piece by piece. It is not in Channel,
// because there are few readers and many channels.
type reads struct {
	readers atomic.Int64 // of all channels
	mu      sync.Mutex   // a leaf lock, for the map
	of      map[*Channel]*kept
}

// kept is what has left a channel's buffer since somebody has begun to read it: who has
// been promised the backlog does not lose it to a publisher that is faster for a moment.
// All readers share it. Channel.mu protects it.
type kept struct {
	readers int
	limit   int       // bytes; above that the oldest are dropped
	bytes   int       // of ms
	ms      []Message // in order; the one behind the last is the oldest in the ring
}

func (r *reads) get(c *Channel) *kept {
	if r.readers.Load() == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[c]
}

// begin counts a reader. Channel.mu is held.
func (r *reads) begin(c *Channel, limit int) {
	r.readers.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[*Channel]*kept)
	}
	k := r.of[c]
	if k == nil {
		k = new(kept)
		r.of[c] = k
	}
	k.readers++
	k.limit = limit
}

// end reports whether it was the last reader. Channel.mu is held.
func (r *reads) end(c *Channel) (last bool) {
	r.readers.Add(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.of[c]
	if k.readers--; k.readers > 0 {
		return false
	}
	delete(r.of, c)
	return true
}

// save keeps the n oldest messages, which are about to leave the ring. Channel.mu is held.
func (h *Hub) save(c *Channel, n int) {
	k := h.reads.get(c)
	if k == nil || c.ring == nil {
		return
	}
	for i := range n {
		k.add(*c.ring.at(i))
	}
}

// add keeps m, which comes behind the others, and drops the oldest above the limit.
func (k *kept) add(m Message) {
	k.ms = append(k.ms, m)
	k.bytes += len(m.Content) + messageCost
	for len(k.ms) > 1 && k.bytes > k.limit {
		k.bytes -= len(k.ms[0].Content) + messageCost
		k.ms[0] = Message{}
		k.ms = k.ms[1:]
	}
}

// keep stores m, of which content and seq are set, as the newest message of c, which is of
// this class. Channel.mu is held.
func (h *Hub) keep(c *Channel, class *Class, m Message) {
	if class.BufferSize == 0 {
		h.keepNothing(c, m)
		return
	}
	if c.ring == nil {
		c.ring = new(ring)
	}
	over := c.ring.excess(len(m.Content), class)
	if class.BufferTTL > 0 {
		over = max(over, c.ring.expired(h.expiredSlot(class)))
	}
	if over == 1 && c.ring.stored() == len(c.ring.buf) && len(c.ring.buf) == class.BufferSize {
		h.save(c, 1) // the usual case: one comes, one goes
		c.ring.rotate(m)
		return
	}
	h.shed(c, over)
	c.ring.push(m, class.BufferSize)
}

// keepNothing is keep for a class that stores nothing: only who is reading gets m from
// here. Channel.mu is held.
func (h *Hub) keepNothing(c *Channel, m Message) {
	h.shed(c, c.ring.stored())
	if k := h.reads.get(c); k != nil {
		k.add(m)
	}
}

// shed drops the k oldest messages. Channel.mu is held.
func (h *Hub) shed(c *Channel, k int) {
	if k > 0 {
		h.save(c, k)
		c.ring.drop(k)
	}
}

// expiredSlot is the slot of hub time before which a stored message is too old.
func (h *Hub) expiredSlot(class *Class) int64 {
	if class.BufferTTL == 0 {
		return 0
	}
	return (h.now.Load() - class.BufferTTL.Milliseconds()) / slotMS
}

// expireLocked drops the messages that are too old. Channel.mu is held.
func (h *Hub) expireLocked(c *Channel) {
	if c.ring.stored() == 0 {
		return
	}
	if h.shed(c, c.ring.expired(h.expiredSlot(h.classLocked(c)))); c.ring.n == 0 {
		c.ring.buf, c.ring.head = nil, 0
	}
}

// dropStored drops all stored messages, but not their ids. Channel.mu is held.
func (h *Hub) dropStored(c *Channel) {
	if c.ring == nil {
		return
	}
	h.save(c, c.ring.stored())
	if c.ring.ids == nil {
		c.ring = nil
	} else {
		c.ring = &ring{ids: c.ring.ids}
	}
}

// Piece is a part of a channel's backlog.
type Piece struct {
	Messages []Message // the argument of Read, with the messages appended
	Lost     bool      // what was asked for is gone: Messages begin later, or are none
	End      bool      // no more is stored: the next message comes by the sink's queue
}

// Read appends the stored messages from seq since on to dst: up to limit bytes, but at
// least one. It is for who has joined and was told More; c may have been closed since.
// When End is true, a message in the sink's queue is one of those read if its seq is at
// most that of the last, and otherwise it was not stored yet: so a reader that goes on
// with the queue loses and doubles nothing.
func (h *Hub) Read(c *Channel, since int64, limit int, dst []Message) Piece {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := Piece{Messages: dst}
	if since >= c.next {
		p.End = true
		return p
	}
	var old []Message // then come those of the ring
	if k := h.reads.get(c); k != nil {
		old = k.ms
	}
	n := len(old)
	n += c.ring.stored()
	at := func(i int) *Message {
		if i < len(old) {
			return &old[i]
		}
		return c.ring.at(i - len(old))
	}
	i := 0
	if n > 0 {
		i = int(min(max(0, since-at(0).Seq), int64(n)))
	}
	p.Lost = n == 0 || at(0).Seq > since
	for from := i; i < n; i++ {
		m := at(i)
		if limit -= len(m.Content) + messageCost; limit < 0 && i > from {
			return p
		}
		p.Messages = append(p.Messages, *m)
	}
	p.End = true
	return p
}

// EndRead is owed for each Join that was told More, before its Leave.
func (h *Hub) EndRead(c *Channel) {
	c.mu.Lock()
	if h.reads.end(c) && c.closed {
		c.ring = nil
	}
	c.mu.Unlock()
}
