package channel

// MaxSinks is how many sinks a hub may have: a channel keeps the set of its sinks in one
// 64-bit word.
const MaxSinks = 64

// Sink takes the messages for its subscribers; in the server, it is an event loop. All
// methods are concurrency-safe and never block. Push is called with the channel's lock
// held (presence: the shard's), so it must not take a lock of this package.
type Sink interface {
	// Push queues m for the subscribers of ch; for presence, ch is nil. It reports
	// whether the caller has to call Wake.
	Push(ch *Channel, m Message) (wake bool)
	// Wake makes the sink look at its queue. The caller holds no lock.
	Wake()
	// Full reports that the queue has reached its limit: a publish to this sink's
	// subscribers is refused before it gets a seq, and a presence message is lost.
	Full() bool
	// HalfFull reports that repeats of Online and the freeing of channels have to wait for
	// the next tick, if the sink watches presence.
	HalfFull() bool
	// Busy reports that a broadcast has to wait, and asks again after a millisecond: more
	// messages in the queue would only delay others.
	Busy() bool
}
