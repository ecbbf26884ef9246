package channel

// table finds the channels of a shard by name. It is a hash table chained through the
// channels (Channel.chain): 16 bytes a channel, a Go map takes 45. The shard's lock
// protects it. The zero value is ready.
type table struct {
	buckets []*Channel // the length is a power of two
	n       int
}

// at is the link at which the chain of a hash begins. The low bits of the hash have
// selected the shard, so they are not used again.
func (t *table) at(hash uint32) **Channel {
	return &t.buckets[hash/shards%uint32(len(t.buckets))]
}

func (t *table) find(hash uint32, name []byte) *Channel {
	if t.n == 0 {
		return nil
	}
	c := *t.at(hash)
	for c != nil && (c.hash != hash || c.Name() != string(name)) {
		c = c.chain
	}
	return c
}

// add enters a channel. Its name must not be in the table.
func (t *table) add(c *Channel) {
	if t.n++; t.n > len(t.buckets) {
		t.resize(max(1, 2*len(t.buckets)))
	}
	link := t.at(c.hash)
	c.chain, *link = *link, c
}

// remove takes a channel out, which must be in the table. A table that is much too large
// shrinks, so memory is given back after a surge.
func (t *table) remove(c *Channel) {
	link := t.at(c.hash)
	for *link != c {
		link = &(*link).chain
	}
	*link, c.chain = c.chain, nil
	if t.n--; t.n < len(t.buckets)/8 {
		t.resize(len(t.buckets) / 4)
	}
}

func (t *table) resize(size int) {
	old := t.buckets
	t.buckets = make([]*Channel, size)
	for _, c := range old {
		for c != nil {
			next := c.chain
			link := t.at(c.hash)
			c.chain, *link = *link, c
			c = next
		}
	}
}

// all yields every channel. The table must not change meanwhile.
func (t *table) all(yield func(*Channel) bool) {
	for _, c := range t.buckets {
		for ; c != nil; c = c.chain {
			if !yield(c) {
				return
			}
		}
	}
}
