package channel

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// What a call can be refused for.
var (
	ErrTooManyChannels    = errors.New("too many channels")
	ErrTooManySubscribers = errors.New("too many subscribers")
	ErrToken              = errors.New("token error")
	ErrNotFound           = errors.New("channel not connected")
	ErrOverloaded         = errors.New("overloaded: a delivery queue is full")
	ErrStopped            = errors.New("shutting down")
	ErrUnavailable        = errors.New("the store of the channels cannot be reached")
	ErrFetch              = errors.New("the channel has to be fetched first")
	ErrMemory             = errors.New("memory is short")
)

// Limits can change while the hub runs (SetLimits).
type Limits struct {
	MaxChannels    int
	MaxSubscribers int           // per channel
	BufferSize     int           // messages kept per channel, at least 1
	Timeout        time.Duration // how long a channel lives without a subscriber, at least 1 ms
}

const shards = 256

type shard struct {
	mu       sync.Mutex
	channels table
	_        [24]byte // a cache line each: neighbours' locks do not slow each other
}

// Hub holds all channels of this process. Its methods are concurrency-safe.
type Hub struct {
	seed   maphash.Seed
	limits atomic.Pointer[Limits]
	now    atomic.Int64 // hub time: ms since the start, as the last Tick said
	sinks  []Sink       // fixed before the first Join
	follow *followed    // nil: the channels are this hub's own

	channels    atomic.Int64
	subscribers atomic.Int64
	watching    atomic.Uint64 // the set of sinks with presence watchers
	noGrowth    atomic.Bool   // no channel is created: ErrMemory
	presence    presence
	expiry      expiry
	shards      [shards]shard
}

// NewHub returns an empty hub.
func NewHub(l Limits) *Hub {
	h := &Hub{seed: maphash.MakeSeed()}
	h.limits.Store(&l)
	return h
}

// AddSink registers a sink and returns its number. Before the first Join only.
func (h *Hub) AddSink(s Sink) int {
	if len(h.sinks) == MaxSinks {
		panic("channel: more than 64 sinks")
	}
	h.sinks = append(h.sinks, s)
	return len(h.sinks) - 1
}

// SetLimits replaces the limits; channels over a lower limit stay.
func (h *Hub) SetLimits(l Limits) { h.limits.Store(&l) }

// StopGrowth says whether new channels are refused with ErrMemory.
func (h *Hub) StopGrowth(on bool) { h.noGrowth.Store(on) }

// Channels is how many channels the hub has.
func (h *Hub) Channels() int { return int(h.channels.Load()) }

// Subscribers is how many subscribers all channels have.
func (h *Hub) Subscribers() int { return int(h.subscribers.Load()) }

// SetTime tells the time between two Ticks, when these come seldom.
func (h *Hub) SetTime(now time.Duration) { h.now.Store(now.Milliseconds()) }

// Tick tells the time since the start. It frees the channels whose time is over
// and repeats presence. One goroutine calls it, about every 100 ms.
func (h *Hub) Tick(now time.Duration) {
	ms := now.Milliseconds()
	h.now.Store(ms)
	h.sweep(ms)
	h.repeatPresence(ms)
}

// staleMS is how old the hub's time may be when a deadline is taken from it: the
// last Tick was a tick ago, or more when it had much to do. Added to each deadline,
// it keeps a channel from being freed before its time.
const staleMS = 300

// deadlineIn is the hub time when something that lasts d from now is over.
func (h *Hub) deadlineIn(d time.Duration) int64 {
	return h.now.Load() + d.Milliseconds() + staleMS
}

// timeoutDeadline is the deadline of a channel that somebody uses now.
func (h *Hub) timeoutDeadline() int64 { return h.deadlineIn(h.limits.Load().Timeout) }

func (h *Hub) hash(name []byte) uint32 { return uint32(maphash.Bytes(h.seed, name)) }

func (h *Hub) shard(hash uint32) *shard { return &h.shards[hash%shards] }

// lookup returns the channel of that name, locked, or nil.
func (h *Hub) lookup(name []byte) *Channel {
	hash := h.hash(name)
	s := h.shard(hash)
	for {
		s.mu.Lock()
		c := s.channels.find(hash, name)
		s.mu.Unlock()
		if c == nil {
			return nil
		}
		if c.mu.Lock(); !c.closed {
			return c
		}
		c.mu.Unlock()
	}
}

// obtain returns the channel of that name, locked, and creates it when it is not
// there. The new channel's life is what the caller then gives it.
func (h *Hub) obtain(name []byte) (*Channel, error) {
	hash := h.hash(name)
	s := h.shard(hash)
	for {
		s.mu.Lock()
		c := s.channels.find(hash, name)
		var wake uint64
		if c == nil {
			if h.noGrowth.Load() {
				s.mu.Unlock()
				return nil, ErrMemory
			}
			if !h.reserve() {
				s.mu.Unlock()
				return nil, ErrTooManyChannels
			}
			c = &Channel{name: string(name), hash: hash, next: 1}
			s.channels.add(c)
			wake = h.announce(Online, c.name)
		}
		s.mu.Unlock()
		h.wake(wake)
		if c.mu.Lock(); !c.closed {
			return c, nil
		}
		c.mu.Unlock()
	}
}

// reserve counts one more channel, unless that is too many. The count never goes
// over the limit, not even for a moment: a newcomer that is refused must not take the
// place that another channel is about to free.
func (h *Hub) reserve() bool {
	for {
		n := h.channels.Load()
		if n >= int64(h.limits.Load().MaxChannels) {
			return false
		}
		if h.channels.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// settle arms the expiry of a channel without a subscriber and unlocks it.
func (h *Hub) settle(c *Channel) {
	if c.subs == 0 && !c.armed && !c.closed {
		c.armed = true
		h.expiry.add(c)
	}
	c.mu.Unlock()
}

// remove takes a channel out of the hub. Its shard's lock and its own are held.
func (h *Hub) remove(s *shard, c *Channel) (wake uint64) {
	s.channels.remove(c)
	c.closed = true
	c.ring = nil // the wheel and subscribers may hold on to c for a while
	h.channels.Add(-1)
	if h.follow != nil {
		h.noteLocked(c)
		return 0
	}
	return h.announce(Offline, c.name)
}

// sweep frees the channels that are due. While a sink that watches presence is half
// full it waits: nothing repeats an Offline that was dropped.
func (h *Hub) sweep(now int64) {
	for looked := 0; looked < sweepBudget && !h.any(h.watching.Load(), Sink.HalfFull); {
		batch := h.expiry.take(now)
		if len(batch) == 0 {
			return
		}
		for _, c := range batch {
			h.sweepOne(c, now)
		}
		looked += len(batch)
	}
}

// sweepOne frees a channel that has left the wheel, or puts it back.
func (h *Hub) sweepOne(c *Channel, now int64) {
	var wake uint64
	s := h.shard(c.hash)
	s.mu.Lock()
	c.mu.Lock()
	c.armed = false
	if !c.closed && !c.aliveLocked(now) {
		wake = h.remove(s, c)
	}
	h.settle(c)
	s.mu.Unlock()
	h.wake(wake)
}

// push hands m to every sink of the set. Channel.mu is held; the caller wakes the
// returned set after unlocking.
func (h *Hub) push(c *Channel, m Message, set uint64) (wake uint64) {
	for ; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		if h.sinks[i].Push(c, m) {
			wake |= 1 << i
		}
	}
	return wake
}

func (h *Hub) wake(set uint64) {
	for ; set != 0; set &= set - 1 {
		h.sinks[bits.TrailingZeros64(set)].Wake()
	}
}

// any reports whether a sink of the set is Full, HalfFull or Busy.
func (h *Hub) any(set uint64, is func(Sink) bool) bool {
	for ; set != 0; set &= set - 1 {
		if is(h.sinks[bits.TrailingZeros64(set)]) {
			return true
		}
	}
	return false
}
