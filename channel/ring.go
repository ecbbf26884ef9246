package channel

// ring stores the last messages of a channel in seq order, without gaps. It grows by
// doubling up to the limit, so a channel with one message does not pay for the whole
// buffer; it shrinks when the limit does. Channel.mu protects it.
type ring struct {
	buf     []Message
	head, n int
}

// push appends m and drops the oldest messages, so that at most limit (at least 1) are
// stored. The limit may differ from call to call (a reload).
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

// since appends to dst every stored message whose seq is at least seq.
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

// oldest is the seq of the oldest stored message; ok is false if there is none.
func (r *ring) oldest() (seq int64, ok bool) {
	if r == nil || r.n == 0 {
		return 0, false
	}
	return r.buf[r.head].Seq, true
}
