package channel

import "time"

// Engine is where the calls of the admin port go: to this process's hub (Memory)
// or through a store that several nodes share. Every call is answered through its
// Done exactly once: maybe before the call returns, maybe later from another
// goroutine. Concurrency-safe. name and content are not kept as byte slices after
// the call returns.
//
// Errors in a Result: those of the Hub's method of the same name, ErrStopped,
// ErrOverloaded when the queue to the store is full, and ErrUnavailable. After
// ErrUnavailable the call may have been carried out or not.
type Engine interface {
	// Publish is done when the message is stored: who subscribes from then on, to
	// any node, finds it. Memory has then queued it to every subscriber too.
	Publish(name []byte, content string, done Done)
	// Broadcast is done when every channel has it.
	Broadcast(content string, done Done)
	Sign(name []byte, wait time.Duration, done Done)
	Clear(name []byte, done Done)
	Close(name []byte, done Done)
	// Info counts the subscribers of one channel on all nodes and says whether it is
	// alive; without a name it counts all channels and all subscribers.
	Info(name []byte, done Done)
	// Fetch does for a Join what its hub could not (ErrFetch). When it is done
	// without an error, the Join is repeated at once with Fetched set, and a place
	// among the subscribers is kept until Release. Errors: those of Join.
	Fetch(j *Join, done Done)
	Release(name []byte)
	// Watch is done when presence reaches this hub; WatchPresence follows at once.
	Watch(done Done)
	// Status is what the operator is shown, ready for encoding/json; nil: nothing.
	Status() any
	// Ready is nil, or says why newcomers should not be sent to this node: it has not
	// reached its store for a while.
	Ready() error
	// Stop refuses new work with ErrStopped and returns when all calls before it are
	// answered. A second Stop waits too; no Done may call it.
	Stop()
}

// Result answers an Engine call.
type Result struct {
	Seq         int64  // Publish: the message's; Sign, Clear, Close: as the Hub's methods
	Token       string // Sign
	Channels    int    // Info without a name
	Subscribers int    // Info
	Alive       bool   // Info with a name
	Err         error
}

// Done takes the result of one call.
type Done interface {
	Done(Result)
}
