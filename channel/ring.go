package channel

// ring keeps the last messages of a channel in seq order, without gaps: each
// stored message has the seq of the one before plus 1. It belongs to its Channel
// (Channel.mu). It grows by doubling up to the limit, so that a channel with one
// message does not pay for the whole buffer, and gives back what a reload made
// too much.
type ring struct {
	buf     []Message
	head, n int
}

// push appends m and drops the oldest so that at most limit messages are kept.
// The limit may differ from call to call (a reload).
func (r *ring) push(m Message, limit int) {
	for r.n >= limit {
		r.head = (r.head + 1) % len(r.buf)
		r.n--
	}
	if r.n == len(r.buf) || len(r.buf) > limit {
		buf := make([]Message, min(limit, max(1, 2*r.n)))
		r.since(0, buf[:0])
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = m
	r.n++
}

// since appends every stored message with that seq or a later one to dst.
func (r *ring) since(seq int64, dst []Message) []Message {
	if r == nil || r.n == 0 {
		return dst
	}
	skip := int(min(max(0, seq-r.buf[r.head].Seq), int64(r.n)))
	for i := skip; i < r.n; i++ {
		dst = append(dst, r.buf[(r.head+i)%len(r.buf)])
	}
	return dst
}

// oldest is the seq of the oldest stored message; ok is false when there is none.
func (r *ring) oldest() (seq int64, ok bool) {
	if r == nil || r.n == 0 {
		return 0, false
	}
	return r.buf[r.head].Seq, true
}
