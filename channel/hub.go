package channel

import (
	"errors"
	"hash/crc32"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Why a call is refused.
var (
	ErrTooManyChannels    = errors.New("too many channels")                           // Limits.MaxChannels is reached
	ErrTooManySubscribers = errors.New("too many subscribers")                        // Limits.MaxSubscribers is reached
	ErrToken              = errors.New("token error")                                 // the token is wrong, or the channel does not exist
	ErrNotFound           = errors.New("channel not connected")                       // there is no such channel
	ErrOverloaded         = errors.New("overloaded: a delivery queue is full")        // a sink, or the engine's queue, is full
	ErrStopped            = errors.New("shutting down")                               // Engine.Stop was called
	ErrUnavailable        = errors.New("the store of the channels cannot be reached") // the call may have been carried out or not
	ErrFetch              = errors.New("the channel has to be fetched first")         // follower: Engine.Fetch has to come first
	ErrMemory             = errors.New("memory is short")                             // Hub.StopGrowth is on, and the call would create a channel
	ErrEnded              = errors.New("the channel has ended")                       // nothing more can be published to it
	ErrConflict           = errors.New("another message has this seq")                // Publication.IfSeq is not the channel's next seq, or IfEpoch not its epoch
)

// Limits bound the channels of a hub. SetLimits replaces them while the hub runs. But for
// MaxChannels they are for the channels whose names fit none of Classes, and are explained
// there.
type Limits struct {
	MaxChannels    int // in this hub; with a store: on all nodes
	MaxSubscribers int
	BufferSize     int
	BufferTTL      time.Duration
	BufferBytes    int
	Timeout        time.Duration // also how often presence is repeated
	IDWindow       int
	Classes        []Class // at most MaxClasses; the first whose Match fits counts
}

const shards = 256

type shard struct {
	mu       sync.Mutex
	channels table
	lives    uint32   // how many channels it has created
	_        [20]byte // fills the cache line, so that locks of neighbours do not share one
}

// Hub holds all channels of this process. Its methods are concurrency-safe, except where
// a comment says otherwise.
type Hub struct {
	seed   maphash.Seed
	salt   uint32 // random, so that the epochs of two processes differ
	limits atomic.Pointer[classes]
	now    atomic.Int64 // hub time: base + ms since the start, by the last Tick or SetTime
	base   int64        // see startAt
	sinks  []Sink       // fixed before the first Join
	follow *followed    // nil: not a follower

	channels    atomic.Int64
	subscribers atomic.Int64
	watching    atomic.Uint64 // the set of sinks with presence watchers
	noGrowth    atomic.Bool   // new channels are refused with ErrMemory
	presence    presence
	expiry      expiry
	reads       reads
	shards      [shards]shard
}

// NewHub returns an empty hub without sinks, at hub time 0.
func NewHub(l Limits) *Hub {
	h := &Hub{seed: maphash.MakeSeed(), salt: rand.Uint32()}
	h.limits.Store(newClasses(l))
	return h
}

// AddSink registers a sink and returns its number, from 0. It must be called before the
// first Join. More than MaxSinks are a panic.
func (h *Hub) AddSink(s Sink) int {
	if len(h.sinks) == MaxSinks {
		panic("channel: more than 64 sinks")
	}
	h.sinks = append(h.sinks, s)
	return len(h.sinks) - 1
}

// StopGrowth says whether new channels are refused with ErrMemory.
func (h *Hub) StopGrowth(on bool) { h.noGrowth.Store(on) }

// Channels is the number of channels in this hub.
func (h *Hub) Channels() int { return int(h.channels.Load()) }

// Subscribers is the number of subscribers of all channels in this hub.
func (h *Hub) Subscribers() int { return int(h.subscribers.Load()) }

// SetTime sets the hub's time, as the duration since the start, between two Ticks that
// are far apart.
func (h *Hub) SetTime(now time.Duration) { h.now.Store(h.base + now.Milliseconds()) }

// Tick sets the hub's time, as the duration since the start, frees the channels that have
// expired and repeats presence. One goroutine calls it, about every 100 ms.
func (h *Hub) Tick(now time.Duration) {
	ms := h.base + now.Milliseconds()
	h.now.Store(ms)
	h.sweep(ms)
	h.repeatPresence(ms)
}

// staleMS is how old the hub's time may be when a deadline is computed from it: the last
// Tick was a tick ago, or more if it had much to do. It is added to each deadline, so
// that no channel is freed too early.
const staleMS = 300

// deadlineIn is the hub time (ms) at which a period of d that starts now is over.
func (h *Hub) deadlineIn(d time.Duration) int64 {
	return h.now.Load() + d.Milliseconds() + staleMS
}

// used prolongs the life of a channel that is used now. Channel.mu is held.
func (h *Hub) used(c *Channel) { c.extend(h.deadlineIn(h.classLocked(c).Timeout)) }

// newEpoch is the epoch of a channel that the shard creates. Two channels of one name are
// in the same shard and so have different ones: neither step maps two numbers to the same.
// With the name in it, the position of another channel is not taken for one of this. The
// shard's lock is held.
func (h *Hub) newEpoch(s *shard, name string) uint32 {
	of := crc32.ChecksumIEEE([]byte(name))
	for {
		s.lives++
		x := s.lives + h.salt
		x = (x ^ x>>16) * 0x85ebca6b
		x = (x ^ x>>13) * 0xc2b2ae35
		if x ^= x>>16 ^ of; x > ForeignEpoch {
			return x
		}
	}
}

func (h *Hub) hash(name []byte) uint32 { return uint32(maphash.Bytes(h.seed, name)) }

func (h *Hub) shard(hash uint32) *shard { return &h.shards[hash%shards] }

// lookup returns the channel of that name with Channel.mu held, or nil.
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

// obtain returns the channel of that name with Channel.mu held, and creates it if needed.
// The caller sets a new channel's deadline and calls settle.
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
			own := string(name)
			c = newChannel(own, hash, h.newEpoch(s, own), h.limits.Load())
			s.channels.add(c)
			wake = h.announce(Online, own)
		}
		s.mu.Unlock()
		h.wake(wake)
		if c.mu.Lock(); !c.closed {
			return c, nil
		}
		c.mu.Unlock()
	}
}

// reserve counts one more channel, unless the limit is reached. The count never exceeds
// the limit, not even for a moment: otherwise a refused creation could make another one
// fail that has a free place.
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

// settle puts a channel without a subscriber into the expiry wheel and unlocks
// Channel.mu.
func (h *Hub) settle(c *Channel) {
	if c.subs == 0 && !c.armed && !c.closed {
		c.armed = true
		h.expiry.add(c)
	}
	c.mu.Unlock()
}

// remove takes a channel out of the hub. The shard's lock and Channel.mu are held.
func (h *Hub) remove(s *shard, c *Channel) (wake uint64) {
	s.channels.remove(c)
	c.closed = true
	if h.reads.get(c) == nil {
		c.ring = nil // the wheel and subscribers may keep the pointer for a while
	}
	h.channels.Add(-1)
	if h.follow != nil {
		h.noteLocked(c)
		return 0
	}
	return h.announce(Offline, c.Name())
}

// sweep frees the channels that are due. It waits while a sink that watches presence is
// half full, because an Offline that is dropped is not repeated.
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

// push queues m to every sink of the set and returns the set to wake. Channel.mu
// (presence: the shard's lock) is held; the caller wakes after unlocking.
func (h *Hub) push(c *Channel, m Message, set uint64) (wake uint64) {
	for ; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		if h.sinks[i].Push(c, m) {
			wake |= 1 << i
		}
	}
	return wake
}

// last queues m, behind which nothing more comes. Who has been told that the channel has
// ended gets no second end. Channel.mu is held.
func (h *Hub) last(c *Channel, m Message) (wake uint64) {
	if c.ended {
		return 0
	}
	return h.push(c, m, c.sinks)
}

func (h *Hub) wake(set uint64) {
	for ; set != 0; set &= set - 1 {
		h.sinks[bits.TrailingZeros64(set)].Wake()
	}
}

// any reports whether is (Full, HalfFull or Busy) holds for a sink of the set.
func (h *Hub) any(set uint64, is func(Sink) bool) bool {
	for ; set != 0; set &= set - 1 {
		if is(h.sinks[bits.TrailingZeros64(set)]) {
			return true
		}
	}
	return false
}
