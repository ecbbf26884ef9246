package channel

import "sync"

const (
	// slotMS is the wheel's resolution; with wheelSlots slots it looks 102 s ahead.
	// What expires later is looked at once each time round, and put back.
	slotMS     = 100
	wheelSlots = 1024
	// sweepBudget bounds the channels one tick looks at; the rest waits for the next.
	// At 0.1 to 0.2 µs each that is 40 ms at most, and a million that are due at once
	// are freed within half a second.
	sweepBudget = 200_000
	// sweepBatch is how many are taken out of the wheel at a time.
	sweepBatch = 1000
)

// expiry is a timing wheel of the channels without a subscriber. A channel is in
// it at most once (Channel.armed). When its deadline has moved, the entry is corrected
// when it is due, not at every publish. mu is a leaf lock.
type expiry struct {
	mu    sync.Mutex
	slots [wheelSlots][]*Channel
	swept int64      // the slot number up to which everything has left the wheel
	due   []*Channel // what has left the wheel and was over the batch
}

// add enters a channel at its deadline. Channel.mu is held.
func (e *expiry) add(c *Channel) {
	e.mu.Lock()
	slot := max(int64(c.deadline), e.swept+1)
	if slot-e.swept >= wheelSlots {
		slot = e.swept + wheelSlots - 1
	}
	i := slot % wheelSlots
	e.slots[i] = append(e.slots[i], c)
	e.mu.Unlock()
}

// take returns up to sweepBatch channels to look at; they are no longer in the
// wheel. The slice is valid until the next take. The sweeping goroutine calls it.
func (e *expiry) take(now int64) []*Channel {
	e.mu.Lock()
	defer e.mu.Unlock()
	// Once round sees every slot, however far the clock has jumped.
	e.swept = max(e.swept, now/slotMS-wheelSlots)
	for e.swept < now/slotMS && len(e.due) < sweepBatch {
		e.swept++
		i := e.swept % wheelSlots
		e.due = append(e.due, e.slots[i]...)
		e.slots[i] = nil
	}
	n := min(len(e.due), sweepBatch)
	batch := e.due[:n]
	if e.due = e.due[n:]; len(e.due) == 0 {
		e.due = nil
	}
	return batch
}
