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
		m := c.ring.buf[(c.ring.head+i)%len(c.ring.buf)]
		k.ms = append(k.ms, m)
		k.bytes += len(m.Content) + messageCost
	}
	for len(k.ms) > 1 && k.bytes > k.limit {
		k.bytes -= len(k.ms[0].Content) + messageCost
		k.ms[0] = Message{}
		k.ms = k.ms[1:]
	}
}

// keep stores m as the newest message. Channel.mu is held.
func (h *Hub) keep(c *Channel, m Message) {
	limit := h.limits.Load().BufferSize
	if c.ring == nil {
		c.ring = new(ring)
	} else if over := c.ring.n + 1 - limit; over > 0 {
		h.save(c, over)
	}
	c.ring.push(m, limit)
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
	if c.ring != nil {
		n += c.ring.n
	}
	at := func(i int) *Message {
		if i < len(old) {
			return &old[i]
		}
		return &c.ring.buf[(c.ring.head+i-len(old))%len(c.ring.buf)]
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

// over reports that the messages from seq on are more than limit bytes, and which is the
// first of them.
func (r *ring) over(seq int64, limit int) (first int64, over bool) {
	if r == nil || r.n == 0 {
		return 0, false
	}
	skip := int(min(max(0, seq-r.buf[r.head].Seq), int64(r.n)))
	for i := skip; i < r.n; i++ {
		if limit -= len(r.buf[(r.head+i)%len(r.buf)].Content) + messageCost; limit < 0 {
			return r.buf[(r.head+skip)%len(r.buf)].Seq, true
		}
	}
	return 0, false
}
