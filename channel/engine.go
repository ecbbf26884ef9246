package channel

import "time"

// Engine carries out the calls of the admin port: in this process's hub (Memory), or
// through a store that several nodes share. Each call is answered through its Done
// exactly once, before the call returns or later from another goroutine. The methods are
// concurrency-safe and do not keep the bytes of name.
//
// Errors in a Result: those of the Hub's method of the same name; ErrStopped;
// ErrOverloaded when the queue to the store is full; ErrUnavailable when it is not known
// whether the call was carried out.
type Engine interface {
	// Publish is Hub.Publish. When it is done, every later subscriber finds the message, on
	// any node; Memory has then also queued it to every present one. The engine keeps
	// neither p nor the bytes of its name.
	Publish(p *Publication, done Done)
	// Broadcast publishes to every channel that has not ended. It is done when each of them
	// has the message. With an id ("": none) it leaves out the channels that have a message
	// with it, as Publication.ID says: so it can be repeated.
	Broadcast(content, id string, done Done)
	// Sign is Hub.Sign.
	Sign(name []byte, wait time.Duration, done Done)
	// Clear is Hub.Clear.
	Clear(name []byte, done Done)
	// Close is Hub.Close; it frees the channel on all nodes.
	Close(name []byte, done Done)
	// Info with a name gives Subscribers (on all nodes) and Alive of that channel;
	// without a name, Channels and Subscribers of all.
	Info(name []byte, done Done)
	// Fetch does what the hub could not do for a Join that failed with ErrFetch. When it
	// is done without an error, the caller repeats the Join at once, with Fetched set. A
	// place among the subscribers is reserved until Release. Errors: those of Join.
	Fetch(j *Join, done Done)
	// Release gives back the place that one Fetch has reserved. The caller calls it once
	// for each successful Fetch, after the Join or instead of it.
	Release(name []byte)
	// Watch is done when presence messages reach this hub. The caller then calls
	// Hub.WatchPresence at once.
	Watch(done Done)
	// Status is what /stats shows of the engine, for encoding/json; nil: nothing.
	Status() any
	// Ready is nil, or the reason why a load balancer should send no newcomers to this
	// node: its store has been out of reach for a while.
	Ready() error
	// Stop refuses new calls with ErrStopped and returns when all earlier calls are
	// answered. A second Stop waits too. A Done must not call it.
	Stop()
}

// Result is the answer to an Engine call. Fields that the call does not set are zero.
type Result struct {
	Seq         int64  // Publish: as Published; Sign, Clear, Close: as the Hub's methods return it
	Epoch       uint32 // Publish: as Published
	Duplicate   bool   // Publish: as Published
	Token       string // Sign
	Channels    int    // Info without a name
	Subscribers int    // Info
	Alive       bool   // Info with a name
	Err         error
}

// Done receives the result of one call. It is called with no lock of the engine held.
type Done interface {
	Done(Result)
}
