package channel

// MaxSinks is how many sinks a hub may have: a channel keeps the set of those
// that have subscribers of it in one 64-bit word.
const MaxSinks = 64

// Sink takes the messages for the subscribers it holds (in the server: an event
// loop). All methods are concurrency-safe and never block. Push is called under
// the channel's lock, presence under a shard's, so it may take no lock of this
// package.
type Sink interface {
	// Push queues m for the subscribers of ch (presence: ch is nil). It reports
	// whether the sink has to be woken: the caller calls Wake when it holds no lock.
	Push(ch *Channel, m Message) (wake bool)
	Wake()
	// Full reports that the queue is over its limit: a publish is refused before
	// it gets a seq. HalfFull is where presence, which goes on at the next tick, pauses.
	// Busy is where a broadcast pauses, which looks again in a millisecond: what is
	// queued more than that only makes others wait behind it.
	Full() bool
	HalfFull() bool
	Busy() bool
}
