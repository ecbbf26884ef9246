package channel

import "sync/atomic"

// presence repeats Online for each channel every Limits.Timeout. The shards take turns,
// one after the other, so that the repeats are spread evenly over that time.
type presence struct {
	shard   int // the next shard to announce; used by the goroutine of Tick only
	dropped atomic.Uint64
}

// WatchPresence says whether a sink has presence watchers. Its Push then gets Online and
// Offline messages.
func (h *Hub) WatchPresence(sink int, on bool) {
	bit := uint64(1) << sink
	if on {
		h.watching.Or(bit)
	} else {
		h.watching.And(^bit)
	}
}

// PresenceDropped is the number of presence messages that full sinks have lost.
func (h *Hub) PresenceDropped() uint64 { return h.presence.dropped.Load() }

// announce queues a presence message to every watching sink that is not full. The shard's
// lock is held, which keeps Online and Offline of one name in order.
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

// repeatPresence announces the shards whose turn has come at now (ms). While a sink is
// half full it waits; the shards are then late, but none is left out.
func (h *Hub) repeatPresence(now int64) {
	if h.follow != nil {
		return // its engine repeats presence: it knows all channels
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
		wake |= h.announce(Online, c.Name())
	}
	return wake
}
