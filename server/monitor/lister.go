package monitor

import (
	"context"
	"slices"
	"strings"
	"time"

	"icomet/channel"
	"icomet/server/wire"
)

const (
	// listLimit bounds the channels of one page.
	listLimit = 200
	// rateSpan is the least time that a rate is measured over.
	rateSpan = time.Second
	// ratesKept is how long the numbers for the next rates wait for somebody to ask.
	ratesKept = 30 * time.Second
	// walkRest is how many channels are looked at before a walk lets the loops have the
	// processor for as long as it has had it.
	walkRest = 4096
)

// listQuery is a page of the channel list. Channels are in falling order of their value
// (by name: all have the same), those of one value in the order of their names.
type listQuery struct {
	search string // a part of the name, in lower case
	sort   string // subscribers, rate, stored or name
	limit  int
	after  *listEntry // the last of the page before; nil: the first page
}

type listEntry struct {
	Name        string  `json:"name"`
	Subscribers int     `json:"subscribers"`
	Next        int64   `json:"next"`
	Stored      int     `json:"stored"`
	Rate        float64 `json:"rate"` // messages a second; 0 unless sorted by it
	Value       float64 `json:"value"`
	Epoch       epoch   `json:"epoch"`
	Ended       bool    `json:"ended"`
	Class       string  `json:"class"`      // its match; "" for none
	OldestAge   float64 `json:"oldest_age"` // of the oldest message, in seconds; 0 when there is none
}

// epoch is a channel's epoch, in JSON as on the wire.
type epoch uint32

// MarshalText never fails.
func (e epoch) MarshalText() ([]byte, error) { return wire.AppendEpoch(nil, uint32(e)), nil }

// before is the order of the list.
func (e *listEntry) before(other *listEntry) bool {
	if e.Value != other.Value {
		return e.Value > other.Value
	}
	return e.Name < other.Name
}

// scopeOf says which channels a hub can tell of: "all", or those that this "node" has
// copies of.
func scopeOf(h *channel.Hub) string {
	if h.Following() {
		return "node"
	}
	return "all"
}

type listPage struct {
	Scope    string      `json:"scope"` // scopeOf
	Channels []listEntry `json:"channels"`
	Matched  int         `json:"matched"` // on all pages
	More     bool        `json:"more"`
	Millis   float64     `json:"took_ms"`
}

// lister finds pages of the channels by walking over all of them, because an index would
// cost every publish. There is one walk at a time, and it rests half of the time, to
// bound what it costs the others. Its methods are concurrency-safe.
type lister struct {
	hub  *channel.Hub
	turn chan struct{} // holds one: whose turn it is
	// Of who has the turn.
	rates *rates // nil: nobody has asked for a while
}

func newLister(h *channel.Hub) *lister {
	l := &lister{hub: h, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// list finds a page. Error: ctx's.
func (l *lister) list(ctx context.Context, q *listQuery) (*listPage, error) {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	if q.sort == "rate" {
		if err := l.prepareRates(ctx); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	page := &listPage{Scope: scopeOf(l.hub), Channels: make([]listEntry, 0, q.limit+1)}
	var next *rates
	if q.sort == "rate" {
		next = newRates()
	}
	err := l.walk(ctx, func(b *channel.Brief) {
		rate := 0.0
		if next != nil {
			next.note(b.Hash, b.Next)
			rate = l.rates.rate(b.Hash, b.Next, start)
		}
		if q.search == "" || strings.Contains(strings.ToLower(b.Name), q.search) {
			page.Matched++
			page.offer(q, b, rate)
		}
	})
	if err != nil {
		return nil, err
	}
	if next != nil {
		l.rates = next
	}
	if page.More = len(page.Channels) > q.limit; page.More {
		page.Channels = page.Channels[:q.limit]
	}
	page.Millis = float64(time.Since(start).Microseconds()) / 1e3
	return page, nil
}

// offer takes a channel if it is among the first behind q.after: one more than the
// limit, which says that there is another page.
func (p *listPage) offer(q *listQuery, b *channel.Brief, rate float64) {
	e := listEntry{
		Name: b.Name, Subscribers: b.Subscribers, Next: b.Next, Stored: b.Stored, Rate: rate,
		Epoch: epoch(b.Epoch), Ended: b.Ended, Class: b.Class, OldestAge: b.OldestAge.Seconds(),
	}
	switch q.sort {
	case "subscribers":
		e.Value = float64(e.Subscribers)
	case "stored":
		e.Value = float64(e.Stored)
	case "rate":
		e.Value = rate
	}
	full := len(p.Channels) > q.limit
	if full && !e.before(&p.Channels[q.limit]) || q.after != nil && !q.after.before(&e) {
		return
	}
	at, found := slices.BinarySearchFunc(p.Channels, e, func(a, b listEntry) int {
		switch {
		case a.before(&b):
			return -1
		case b.before(&a):
			return 1
		}
		return 0
	})
	if found { // seen twice: a table has shrunk meanwhile
		return
	}
	if full {
		p.Channels = p.Channels[:q.limit]
	}
	p.Channels = slices.Insert(p.Channels, at, e)
}

// walk calls visit with every channel, and rests half of the time.
func (l *lister) walk(ctx context.Context, visit func(*channel.Brief)) error {
	n, since := 0, time.Now()
	l.hub.Walk(func(some []channel.Brief) bool {
		for i := range some {
			visit(&some[i])
		}
		if n += len(some); n >= walkRest {
			if !rest(ctx, time.Since(since)) {
				return false
			}
			n, since = 0, time.Now()
		}
		return ctx.Err() == nil
	})
	return ctx.Err()
}

// rest waits and reports whether ctx goes on.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// prepareRates sees to it that there is something from rateSpan ago to compare with.
func (l *lister) prepareRates(ctx context.Context) error {
	if l.rates == nil {
		first := newRates()
		if err := l.walk(ctx, func(b *channel.Brief) { first.note(b.Hash, b.Next) }); err != nil {
			return err
		}
		l.rates = first
	}
	if !rest(ctx, time.Until(l.rates.at.Add(rateSpan))) {
		return ctx.Err()
	}
	return nil
}

// forget frees the numbers that nobody asks for any more.
func (l *lister) forget(now time.Time) {
	select {
	case <-l.turn:
		if l.rates != nil && now.Sub(l.rates.at) > ratesKept {
			l.rates = nil
		}
		l.turn <- struct{}{}
	default: // somebody asks
	}
}

// rates is where every channel's seq stood at one time: an open hash table with 8 bytes
// an entry, hash and seq, their low halves. Channels whose hashes are the same, 100 in a
// million, can show each other's rate.
type rates struct {
	at      time.Time
	entries []uint64 // 0: free, for no seq is 0
	n       int
}

func newRates() *rates { return &rates{at: time.Now(), entries: make([]uint64, 1024)} }

// slot is where the hash is, or would be. Its bits are mixed: the walk brings them in
// an order that would make long runs.
func (r *rates) slot(hash uint32) *uint64 {
	mask := uint32(len(r.entries) - 1)
	for i := hash * 0x9E3779B1 >> 7; ; i++ {
		if e := &r.entries[i&mask]; *e == 0 || uint32(*e>>32) == hash {
			return e
		}
	}
}

func (r *rates) note(hash uint32, seq int64) {
	if r.n++; 2*r.n > len(r.entries) {
		old := r.entries
		r.entries = make([]uint64, 2*len(old))
		for _, e := range old {
			if e != 0 {
				*r.slot(uint32(e >> 32)) = e
			}
		}
	}
	*r.slot(hash) = uint64(hash)<<32 | uint64(uint32(max(1, seq)))
}

// rate is how many messages a second there have been since. A channel that is new, or
// made anew, has begun at seq 1.
func (r *rates) rate(hash uint32, seq int64, now time.Time) float64 {
	was := uint32(*r.slot(hash))
	if was == 0 || was > uint32(seq) {
		was = 1
	}
	return float64(uint32(seq)-was) / now.Sub(r.at).Seconds()
}
