package channel

import (
	"slices"
	"time"
	"unicode/utf8"
)

// Class is what the channels with names of one pattern may have and keep.
type Class struct {
	Match          string        // a glob for the whole name: * any characters, ? one
	BufferSize     int           // messages stored per channel
	BufferTTL      time.Duration // how long a message is stored; 0: as long as its channel
	BufferBytes    int           // bytes of content stored per channel, the newest message excepted; 0: no limit
	Timeout        time.Duration // how long a channel lives without a subscriber, at least 1 ms
	MaxSubscribers int           // per channel
	IDWindow       int           // how many messages back an id is known; 0: the larger of 64 and BufferSize
}

// MaxClasses is how many Limits.Classes there may be.
const MaxClasses = 255

// leastIDs is how many messages back an id is known at least.
const leastIDs = 64

func (c *Class) idWindow() int64 { return int64(c.IDs()) }

// IDs is how many messages back an id is known.
func (c *Class) IDs() int {
	if c.IDWindow > 0 {
		return c.IDWindow
	}
	return max(leastIDs, c.BufferSize)
}

// classes are limits made ready for use. They are immutable.
type classes struct {
	Limits
	turn uint8   // counts the changes of the patterns
	list []Class // the first is for the names that no pattern fits
}

func newClasses(l Limits) *classes {
	if len(l.Classes) > MaxClasses {
		panic("channel: more than 255 classes")
	}
	rest := Class{
		BufferSize: l.BufferSize, BufferTTL: l.BufferTTL, BufferBytes: l.BufferBytes,
		Timeout: l.Timeout, MaxSubscribers: l.MaxSubscribers, IDWindow: l.IDWindow,
	}
	return &classes{Limits: l, list: append([]Class{rest}, l.Classes...)}
}

// index is the place of a name's class in list.
func (l *classes) index(name string) uint8 {
	for i := 1; i < len(l.list); i++ {
		if Match(l.list[i].Match, name) {
			return uint8(i)
		}
	}
	return 0
}

// ClassOf is the class of the channels of that name. The caller must not change it.
func (h *Hub) ClassOf(name []byte) *Class {
	l := h.limits.Load()
	return &l.list[l.index(string(name))]
}

// classLocked is the class of c. Channel.mu is held.
func (h *Hub) classLocked(c *Channel) *Class {
	l := h.limits.Load()
	if c.turn != l.turn {
		l.take(c)
	}
	return &l.list[c.class]
}

// take gives c its class when a reload has not come to it yet.
func (l *classes) take(c *Channel) { c.class, c.turn = l.index(c.Name()), l.turn }

// SetLimits replaces the limits. Channels and subscribers above a lower limit stay, and
// stored messages above one stay until the channel's next message. One goroutine at a
// time calls it.
func (h *Hub) SetLimits(l Limits) {
	next, old := newClasses(l), h.limits.Load()
	next.turn = old.turn
	if slices.EqualFunc(old.Classes, l.Classes, func(a, b Class) bool { return a.Match == b.Match }) {
		h.limits.Store(next)
		return
	}
	next.turn++
	h.limits.Store(next)
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock() // a channel that is created from now on sees the new limits
		for c := range s.channels.all {
			c.mu.Lock()
			h.classLocked(c) // now, so that turn can begin anew after 255
			c.mu.Unlock()
		}
		s.mu.Unlock()
	}
}

// Match reports that a glob fits the whole name, by characters and with case: * stands for
// any characters, also none, ? for one.
func Match[T string | []byte](glob string, of T) bool {
	name := string(of)
	star, from := -1, 0 // the last star in glob, and what of name it has taken up to
	g, n := 0, 0
	for n < len(name) {
		_, size := utf8.DecodeRuneInString(name[n:])
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, n
			g++
			continue
		case g < len(glob) && glob[g] == '?':
			g++
			n += size
			continue
		case g < len(glob) && g+size <= len(glob) && glob[g:g+size] == name[n:n+size]:
			g += size
			n += size
			continue
		case star < 0:
			return false
		}
		_, size = utf8.DecodeRuneInString(name[from:])
		from += size // the star takes one more character
		g, n = star+1, from
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
