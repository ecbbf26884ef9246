package secure

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
)

// Outcome is how a handshake has ended.
type Outcome uint8

// The outcomes.
const (
	OK       Outcome = iota
	Failed           // a fault in the protocol, nothing in common, an alert of either side
	TimedOut         // no Finished within 3 s
	Busy             // too much waited: refused at once, or later, for others
	Aborted          // by the reactor: the connection is gone, or has waited for too long
	NoHello          // not begun: no TLS, or no whole hello in time
	Outcomes         // how many there are
)

func (o Outcome) String() string {
	return [...]string{"ok", "failed", "timeout", "busy", "aborted", "no_hello"}[o]
}

// Counters are the figures of a port. Anybody may read them; only the package writes.
type Counters struct {
	InFlight, Waiting atomic.Int64
	Done              [Outcomes]atomic.Uint64
	TLS12, TLS13      atomic.Uint64 // of those that are OK
	Resumed           atomic.Uint64 // of those that are OK
}

func (c *Counters) count(r *Result) {
	c.Done[outcomeOf(r.Err)].Add(1)
	if r.Err != nil {
		return
	}
	if r.Version == tls.VersionTLS13 {
		c.TLS13.Add(1)
	} else {
		c.TLS12.Add(1)
	}
	if r.Resumed {
		c.Resumed.Add(1)
	}
}

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrTimeout):
		return TimedOut
	case errors.Is(err, ErrAborted):
		return Aborted
	}
	return Failed
}
