package reactor

import "icomet/channel"

const subTables = 256

// subIndex finds this loop's subscribers of a channel. The subscribers of one channel are
// a list, whose first member stands in a chained hash table. So a channel with one
// subscriber, the usual case, costs two pointers; a map and a list header would cost 54
// bytes. The index is split into many tables, so that growing one moves few entries.
type subIndex struct {
	tables [subTables]subTable
}

type subTable struct {
	buckets []*subscription // chained by hashNext; the length is a power of two
	n       int
}

// at is the table of a channel and the link where its chain begins.
func (x *subIndex) at(ch *channel.Channel) (*subTable, **subscription) {
	h := ch.Hash()
	t := &x.tables[h%subTables]
	if t.buckets == nil {
		t.buckets = make([]*subscription, 1)
	}
	return t, &t.buckets[h/subTables%uint32(len(t.buckets))]
}

// first is the first subscriber of ch, or nil.
func (x *subIndex) first(ch *channel.Channel) *subscription {
	_, link := x.at(ch)
	c := *link
	for c != nil && c.ch != ch {
		c = c.hashNext
	}
	return c
}

// add enters c as the first subscriber of c.ch.
func (x *subIndex) add(c *subscription) {
	t, link := x.at(c.ch)
	for *link != nil && (*link).ch != c.ch {
		link = &(*link).hashNext
	}
	c.subPrev, c.subNext = nil, *link
	if old := *link; old != nil {
		c.hashNext, old.hashNext = old.hashNext, nil
		old.subPrev = c
		*link = c
		return
	}
	*link = c
	if t.n++; t.n > len(t.buckets) {
		t.grow()
	}
}

// remove takes c out and reports whether it was the last subscriber of c.ch.
func (x *subIndex) remove(c *subscription) (last bool) {
	if c.subNext != nil {
		c.subNext.subPrev = c.subPrev
	}
	if c.subPrev != nil {
		c.subPrev.subNext = c.subNext
		c.subPrev, c.subNext = nil, nil
		return false
	}
	t, link := x.at(c.ch)
	for *link != c {
		link = &(*link).hashNext
	}
	heir := c.subNext
	if heir != nil {
		heir.hashNext = c.hashNext
		*link = heir
	} else {
		*link = c.hashNext
		t.n--
	}
	c.subNext, c.hashNext = nil, nil
	return heir == nil
}

// replace puts to, which has the same channel, into the place of from.
func (x *subIndex) replace(from, to *subscription) {
	to.subNext, to.subPrev, to.hashNext = from.subNext, from.subPrev, from.hashNext
	if to.subNext != nil {
		to.subNext.subPrev = to
	}
	if to.subPrev != nil {
		to.subPrev.subNext = to
	} else {
		_, link := x.at(from.ch)
		for *link != from {
			link = &(*link).hashNext
		}
		*link = to
	}
	from.subNext, from.subPrev, from.hashNext = nil, nil, nil
}

func (t *subTable) grow() {
	old := t.buckets
	t.buckets = make([]*subscription, 2*len(old))
	for _, c := range old {
		for c != nil {
			next := c.hashNext
			link := &t.buckets[c.ch.Hash()/subTables%uint32(len(t.buckets))]
			c.hashNext, *link = *link, c
			c = next
		}
	}
}
