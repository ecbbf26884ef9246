package secure

// Computing is the semaphore around key exchange and signatures, shared by all ports. A
// handshake holds it while it computes and gives it back while it waits for the client, so
// that a storm of handshakes leaves processors to the event loops.
type Computing struct{ slots chan struct{} }

// NewComputing lets n handshakes compute at once: the processors less the event loops.
func NewComputing(n int) *Computing {
	return &Computing{make(chan struct{}, max(1, n))}
}

// take waits for its turn. It is false if done was closed before.
func (c *Computing) take(done <-chan struct{}) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

func (c *Computing) give() { <-c.slots }
