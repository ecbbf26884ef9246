package channel

import "sync"

const (
	// slotMS is the wheel's resolution. With wheelSlots slots the wheel reaches 102 s
	// ahead; a later deadline is looked at once a turn and put back.
	slotMS     = 100
	wheelSlots = 1024
	// sweepBudget bounds the channels that one tick looks at; the rest waits for the
	// next. At 0.1 to 0.2 µs each that is at most 40 ms, and a million channels that are
	// due at once are freed within half a second.
	sweepBudget = 200_000
	// sweepBatch is how many channels are taken out of the wheel at a time.
	sweepBatch = 1000
)

// expiry is a timing wheel of the channels without a subscriber. A channel is in it at
// most once (Channel.armed). A deadline that moves does not move the channel: the sweep
// puts it back when its old slot comes. mu is a leaf lock.
type expiry struct {
	mu    sync.Mutex
	slots [wheelSlots][]*Channel
	swept int64      // all slots up to this number have been emptied
	due   []*Channel // taken out of the slots, but not by take yet
}

// add puts a channel into the slot of its deadline. Channel.mu is held.
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

// take removes up to sweepBatch channels from the wheel and returns them. The slice is
// valid until the next take. Only the goroutine of Tick calls it.
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
