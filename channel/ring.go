package channel

// ring stores the last messages of a channel in seq order, without gaps. It grows by
// doubling up to the limit, so a channel with one message does not pay for the whole
// buffer; it shrinks when the limit does. Channel.mu protects it.
type ring struct {
	buf     []Message
	head, n int32
	bytes   int  // of content
	ids     *ids // nil: no message had one
}

// at is the message at place i, from the oldest; i is less than len(buf).
func (r *ring) at(i int) *Message {
	if i += int(r.head); i >= len(r.buf) { // a division would take longer than the rest
		i -= len(r.buf)
	}
	return &r.buf[i]
}

// stored is how many messages there are.
func (r *ring) stored() int {
	if r == nil {
		return 0
	}
	return int(r.n)
}

// drop removes the k oldest messages.
func (r *ring) drop(k int) {
	for range k {
		m := r.at(0)
		r.bytes -= len(m.Content)
		*m = Message{}
		if r.head++; int(r.head) == len(r.buf) {
			r.head = 0
		}
		r.n--
	}
}

// push appends m. At most limit-1 messages are stored before; the limit may differ from
// call to call (a reload).
func (r *ring) push(m Message, limit int) {
	if int(r.n) == len(r.buf) || len(r.buf) > limit {
		buf := make([]Message, min(limit, max(1, 2*int(r.n))))
		r.since(0, buf[:0])
		r.buf, r.head = buf, 0
	}
	r.n++
	*r.at(int(r.n) - 1) = m
	r.bytes += len(m.Content)
}

// rotate puts m into the place of the oldest message. The buffer is full.
func (r *ring) rotate(m Message) {
	oldest := r.at(0)
	r.bytes += len(m.Content) - len(oldest.Content)
	*oldest = m
	if r.head++; int(r.head) == len(r.buf) {
		r.head = 0
	}
}

// skip is how many of the stored messages are before seq.
func (r *ring) skip(seq int64) int {
	return int(min(max(0, seq-r.at(0).Seq), int64(r.n)))
}

// since appends to dst every stored message whose seq is at least seq.
func (r *ring) since(seq int64, dst []Message) []Message {
	if r.stored() == 0 {
		return dst
	}
	for i := r.skip(seq); i < int(r.n); i++ {
		dst = append(dst, *r.at(i))
	}
	return dst
}

// oldest is the seq of the oldest stored message; ok is false if there is none.
func (r *ring) oldest() (seq int64, ok bool) {
	if r.stored() == 0 {
		return 0, false
	}
	return r.at(0).Seq, true
}

// over reports that the messages from seq on are more than limit bytes, and which is the
// first of them.
func (r *ring) over(seq int64, limit int) (first int64, over bool) {
	if r.stored() == 0 {
		return 0, false
	}
	skip := r.skip(seq)
	for i := skip; i < int(r.n); i++ {
		if limit -= len(r.at(i).Content) + messageCost; limit < 0 {
			return r.at(skip).Seq, true
		}
	}
	return 0, false
}

// excess is how many of the oldest messages a further one of size bytes pushes out. The
// newest stays whatever its size is.
func (r *ring) excess(size int, class *Class) (k int) {
	k = min(max(0, int(r.n)+1-class.BufferSize), int(r.n))
	if class.BufferBytes <= 0 {
		return k
	}
	bytes := r.bytes + size
	for i := 0; i < int(r.n) && (i < k || bytes > class.BufferBytes); i++ {
		bytes -= len(r.at(i).Content)
		k = max(k, i+1)
	}
	return k
}

// expired is how many of the oldest messages were stored before slot.
func (r *ring) expired(slot int64) (k int) {
	for k < r.stored() && int64(r.at(k).At) < slot {
		k++
	}
	return k
}
