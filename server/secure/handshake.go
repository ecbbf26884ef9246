package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"icomet/tlsrecord"
)

const (
	// shakeTime is how long a handshake that has got a place waits for its client, in all.
	// What it waits for the processor is not the client's fault.
	shakeTime = 3 * time.Second
	// maxUnread is what every handshake may hold of bytes that are not read yet. A client
	// may send a long request right behind its Finished, while other handshakes compute;
	// so all of a port together may hold maxBeyond more, and one of them an eighth of that.
	maxUnread, maxBeyond = 64 << 10, 16 << 20
	maxBeyondOne         = maxBeyond / 8
)

// What Start, Feed and a Result may have as an error beside those of crypto/tls.
var (
	ErrBusy        = errors.New("too many handshakes wait for their turn")
	ErrFlood       = errors.New("the client has sent too much before its handshake was over")
	ErrNoHandshake = errors.New("what the client has sent first is no handshake of TLS")
	ErrTimeout     = errors.New("the client has not finished its handshake in time")
	ErrAborted     = errors.New("the handshake was aborted")
	errNoKeys      = errors.New("the handshake has left no keys")
)

// Panic is an error that stands for a panic during a handshake.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic during a handshake: %v", p.Value) }

// Peer is the connection that a handshake is for. Its methods are called on the handshake's
// goroutine, one after the other, perhaps before Start has returned; a handshake that has got
// no place and makes room for others (ErrBusy) is over on one of their loops. They must not
// block.
type Peer interface {
	// HandshakeSends gets bytes for the client, which belong to the Peer.
	HandshakeSends(b []byte)
	// HandshakeOver is called once, and nothing behind it. In front of a failure the alert
	// has been sent, if there is one.
	HandshakeOver(Result)
}

// Result is how a handshake has ended.
type Result struct {
	Err            error // if it is not nil, the rest says nothing
	State          tlsrecord.State
	Version, Suite uint16
	Resumed        bool
}

// Handshake is a handshake that waits for its place, is in flight, or is over. Its exported
// methods belong to the event loop of the connection.
type Handshake struct {
	port   *Port
	peer   Peer
	ticket ticket // places.mu

	// Made by begin. The goroutine reads them without the lock.
	wake chan struct{} // something has come
	done chan struct{} // closed when cause is set

	mu     sync.Mutex // a leaf lock, taken within places.mu too
	in     []byte     // has come and is not read yet
	beyond int        // of it, what is counted in port.beyond
	cause  error      // why it has to end
	over   bool       // crypto/tls reads no more
}

// Feed takes more bytes from the client; it copies them. After an error the connection
// cannot go on: Abort, and close it.
func (h *Handshake) Feed(b []byte) error {
	grown, refused := h.port.places.grow(h, len(b))
	refuse(refused)
	if !grown {
		return ErrBusy
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil {
		return nil // nobody will read it
	}
	if !h.over { // or the loop is about to take all of it
		if more := len(h.in) + len(b) - maxUnread - h.beyond; more > 0 {
			if h.beyond+more > maxBeyondOne {
				return ErrFlood
			}
			if h.port.beyond.Add(int64(more)) > maxBeyond {
				h.port.beyond.Add(int64(-more))
				return ErrFlood
			}
			h.beyond += more
		}
	}
	h.in = append(h.in, b...)
	select {
	case h.wake <- struct{}{}:
	default: // it is woken already, or nil: it waits for a place
	}
	return nil
}

// Rest takes what the client has sent behind a handshake that went well: whole records and
// perhaps a part of one. The loop calls it when it handles the Result, since bytes may have
// been fed after HandshakeOver was called.
func (h *Handshake) Rest() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := h.in
	h.in = nil
	return rest
}

// Abort ends the handshake, if it is not over: the connection is gone, or has waited for
// too long. If it was in flight, HandshakeOver is called yet, soon; if it was waiting, never.
func (h *Handshake) Abort() {
	if h.port.places.withdraw(h) {
		h.port.counters.Done[Aborted].Add(1)
		h.drop(ErrAborted)
		return
	}
	h.end(ErrAborted)
}

// refuse ends handshakes that have waited and got no place.
func refuse(waited []*Handshake) {
	for _, h := range waited {
		h.drop(ErrBusy)
		h.port.counters.Done[Busy].Add(1)
		h.peer.HandshakeOver(Result{Err: ErrBusy})
	}
}

// drop ends a handshake that has got no place.
func (h *Handshake) drop(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in, h.cause = nil, cause
	h.uncount()
}

// uncount gives back what h holds beyond maxUnread. h.mu is held.
func (h *Handshake) uncount() {
	h.port.beyond.Add(int64(-h.beyond))
	h.beyond = 0
}

// end makes the goroutine end, unless the handshake is over.
func (h *Handshake) end(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil || h.over {
		return
	}
	h.cause = cause
	if h.done != nil { // else it was withdrawn
		close(h.done)
	}
}

// begin starts the handshake, which has got its place.
func (h *Handshake) begin() {
	h.mu.Lock()
	h.wake, h.done = make(chan struct{}, 1), make(chan struct{})
	h.mu.Unlock()
	go h.run()
}

// run is the handshake's goroutine.
func (h *Handshake) run() {
	result := h.shake()
	h.finish(&result)
	h.port.places.leave(h)
	h.port.counters.count(&result)
	h.peer.HandshakeOver(result)
}

// shake lets crypto/tls do the handshake.
func (h *Handshake) shake() (result Result) {
	c := &conn{handshake: h, patience: shakeTime}
	defer func() {
		c.secrets.forget()
		if c.computes {
			h.port.computing.give()
		}
		if e := recover(); e != nil {
			result = Result{Err: &Panic{e, debug.Stack()}}
		}
	}()
	if result.Err = c.compute(); result.Err != nil {
		return result
	}
	server := tls.Server(c, h.port.base)
	if result.Err = server.Handshake(); result.Err != nil {
		return result
	}
	state := server.ConnectionState()
	result.Version, result.Suite, result.Resumed = state.Version, state.CipherSuite, state.DidResume
	result.State, result.Err = c.secrets.state(state.Version, state.CipherSuite)
	return result
}

// finish settles the result: from now on nothing can end the handshake in another way.
func (h *Handshake) finish(result *Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil {
		*result = Result{Err: h.cause}
	}
	h.over = true
	if result.Err != nil {
		h.in, h.cause = nil, result.Err
	}
	h.uncount()
}
