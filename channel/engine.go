package channel

import "time"

// Engine is where the calls of the admin port go: to this process's hub (Memory)
// or through a store that several nodes share. Every call is answered through its
// Done exactly once: maybe before the call returns, maybe later from another
// goroutine. Concurrency-safe. name and content are not kept as byte slices after
// the call returns.
//
// Errors in a Result: those of the Hub's method of the same name.
type Engine interface {
	// Publish is done when the message is stored and queued to every subscriber.
	Publish(name []byte, content string, done Done)
	// Broadcast is done when every channel has it.
	Broadcast(content string, done Done)
	Sign(name []byte, wait time.Duration, done Done)
	Clear(name []byte, done Done)
	Close(name []byte, done Done)
	// Stop refuses new work with ErrStopped and returns when all calls before it are
	// answered. A second Stop waits too; no Done may call it.
	Stop()
}

// Result answers an Engine call.
type Result struct {
	Seq   int64  // Publish: the message's; Sign, Clear, Close: as the Hub's methods
	Token string // Sign
	Err   error
}

// Done takes the result of one call.
type Done interface {
	Done(Result)
}
