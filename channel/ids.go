package channel

// ids are the ids of a channel's last messages, so that a publish that is repeated is not
// carried out twice. Channel.mu protects them. A channel without ids has none.
type ids struct {
	seqs  map[string]int64 // id → seq of its message
	order []idOf           // by seq
}

type idOf struct {
	id  string
	seq int64
}

// find is the seq of the message with this id, if that is one of the last window before
// next.
func (x *ids) find(id string, next, window int64) (seq int64, ok bool) {
	if x == nil || id == "" {
		return 0, false
	}
	seq, ok = x.seqs[id]
	return seq, ok && seq >= next-window
}

// add notes the id of message seq, and forgets those that are older than the last window.
func (x *ids) add(id string, seq, window int64) {
	for len(x.order) > 0 && x.order[0].seq <= seq-window {
		old := x.order[0]
		if x.seqs[old.id] == old.seq {
			delete(x.seqs, old.id)
		}
		x.order[0] = idOf{}
		x.order = x.order[1:]
	}
	x.seqs[id] = seq
	x.order = append(x.order, idOf{id, seq})
}

// findID is ids.find for a channel. Channel.mu is held.
func (c *Channel) findID(class *Class, id string) (seq int64, ok bool) {
	if id == "" || c.ring == nil {
		return 0, false
	}
	return c.ring.ids.find(id, c.next, class.idWindow())
}

// noteID is ids.add for the message of c that has just been stored. Channel.mu is held.
func (c *Channel) noteID(class *Class, id string, seq int64) {
	if c.ring == nil {
		c.ring = new(ring)
	}
	if c.ring.ids == nil {
		c.ring.ids = &ids{seqs: make(map[string]int64)}
	}
	c.ring.ids.add(id, seq, class.idWindow())
}
