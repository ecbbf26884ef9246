package channel

import "sync/atomic"

// presence repeats that a channel is online every Limits.Timeout. The hub's
// shards are gone through once in that time, so that the repeats are spread
// evenly; a channel's place is its shard's.
type presence struct {
	shard   int // the next shard to announce; the ticking goroutine's own
	dropped atomic.Uint64
}

// WatchPresence says whether a sink has presence watchers; its Push then gets
// Online and Offline messages.
func (h *Hub) WatchPresence(sink int, on bool) {
	bit := uint64(1) << sink
	if on {
		h.watching.Or(bit)
	} else {
		h.watching.And(^bit)
	}
}

// PresenceDropped counts the presence messages that full sinks have not got.
func (h *Hub) PresenceDropped() uint64 { return h.presence.dropped.Load() }

// announce queues a presence message to every watching sink but the full ones. The
// shard's lock is held, which keeps the order of online and offline for one name.
func (h *Hub) announce(t Type, name string) (wake uint64) {
	for set := h.watching.Load(); set != 0; set &= set - 1 {
		one := set & -set
		if h.any(one, Sink.Full) {
			h.presence.dropped.Add(1)
			continue
		}
		wake |= h.push(nil, Message{Type: t, Content: name}, one)
	}
	return wake
}

// repeatPresence announces the shards whose turn has come at now (ms). While a
// sink is half full it waits: the shards are then announced late, none is left out.
func (h *Hub) repeatPresence(now int64) {
	if h.follow != nil {
		return // its engine knows the channels
	}
	period := h.limits.Load().Timeout.Milliseconds()
	target := int(now % period * shards / period)
	for h.presence.shard != target {
		set := h.watching.Load()
		if set != 0 {
			if h.any(set, Sink.HalfFull) {
				break
			}
			h.wake(h.announceShard(&h.shards[h.presence.shard]))
		}
		h.presence.shard = (h.presence.shard + 1) % shards
	}
}

func (h *Hub) announceShard(s *shard) (wake uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.channels.all {
		wake |= h.announce(Online, c.name)
	}
	return wake
}
