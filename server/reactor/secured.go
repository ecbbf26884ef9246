package reactor

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
	"unsafe"

	"github.com/valyala/bytebufferpool"

	"icomet/server/secure"
	"icomet/server/wire"
	"icomet/tlsrecord"
)

const (
	// helloTicks is how long a client has for its first record.
	helloTicks = uint32(10 * time.Second / tickLength)
	// shakeTicks is how long a handshake may take from a whole first record to its end: the
	// wait for a place, 3 s that package secure waits for the client, and the wait for the
	// processor.
	shakeTicks = uint32(30 * time.Second / tickLength)
	// recordHeader is the length of a record's header, in bytes.
	recordHeader = 5
	// maxHello is the largest first record: its header and a fragment of 2^14 bytes (RFC
	// 8446 section 5.1).
	maxHello = recordHeader + 1<<14
	// handshakeBytes is what a handshake leaves behind for the collector, about.
	handshakeBytes = 32 << 10
	// maxReason is how much of a handshake's error is logged, in bytes.
	maxReason = 256
	// handshakeRecord and dataRecord are types of records (RFC 8446 section 5.1).
	handshakeRecord, dataRecord = 22, 23
)

// secured is a connection over TLS. Conn comes first, so that a *Conn with markTLS leads to
// it. A plain connection has nothing of it. It is 256 bytes, a size of Go's allocator.
type secured struct {
	Conn
	state tlsrecord.State
	busy  *secureBusy // nil when nothing is unfinished and no cipher is kept
}

// secureBusy is what only a busy connection over TLS needs.
type secureBusy struct {
	in     *bytebufferpool.ByteBuffer // a record that has not come whole; else nil
	shake  *secure.Handshake          // at work, or waiting for its place; else nil
	sealer *tlsrecord.Cipher          // kept by loop.ciphers; else nil
	opener *tlsrecord.Cipher          // the same
	begun  uint32                     // the tick in which the first part of in came, with shake == nil
	used   uint32                     // the tick of the ciphers' last use
	kept   bool                       // in loop.ciphers
}

// isTLS reports that c is the first field of a secured.
func (c *Conn) isTLS() bool { return c.marks&markTLS != 0 }

// secured is the connection that c is the first field of: c.isTLS().
func (c *Conn) secured() *secured { return (*secured)(unsafe.Pointer(c)) }

// shaking reports that the handshake is not over: what is sent goes out as it is.
func (c *Conn) shaking() bool { return c.marks&markShaking != 0 }

// port is the TLS of the port that c came in on.
func (c *Conn) port() *secure.Port {
	if c.has(flagAdmin) {
		return c.loop.reactor.adminTLS
	}
	return c.loop.reactor.frontTLS
}

// handshakes keeps the goroutines of handshakes from loops that have ended.
type handshakes struct {
	mu    sync.RWMutex
	ended bool
}

func (h *handshakes) post(l *loop, fn func()) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.ended {
		l.post(fn)
	}
}

func (h *handshakes) end() {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
}

func (s *secured) needs() *secureBusy {
	if s.busy == nil {
		s.busy = new(secureBusy)
	}
	return s.busy
}

// tidy frees what is not needed any more.
func (s *secured) tidy() {
	if b := s.busy; b != nil && b.in == nil && b.shake == nil && !b.kept {
		s.busy = nil
	}
}

// release is called when the connection has ended.
func (s *secured) release() {
	s.state = tlsrecord.State{} // the keys
	s.abort()
	if b := s.busy; b != nil {
		putBuffer(b.in)
		b.in, b.sealer, b.opener = nil, nil, nil
		s.busy = nil
	}
}

// abort ends a handshake that nobody waits for any more, so that others get its place.
func (s *secured) abort() {
	if b := s.busy; b != nil && b.shake != nil {
		b.shake.Abort()
		b.shake = nil
		s.tidy()
	}
}

// arrive takes what has come from the client.
func (s *secured) arrive(b []byte) {
	if s.shaking() {
		s.hear(b)
	} else {
		s.open(b)
	}
}

// hear gives b to the handshake. Until a first record is whole there is none: a client that
// sends a part of it costs a buffer and no goroutine.
func (s *secured) hear(b []byte) {
	busy := s.needs()
	if busy.shake != nil {
		if busy.shake.Feed(b) != nil {
			s.loop.doom(&s.Conn, ReasonTLS)
		}
		return
	}
	if busy.in == nil {
		busy.in = getBuffer()
	}
	_, _ = busy.in.Write(b)
	b = busy.in.B
	switch {
	case b[0] != handshakeRecord && 'A' <= b[0] && b[0] <= 'Z':
		s.port().NoHello()
		s.failWith(wire.Head{Status: 400}, "this port speaks TLS: https, not http", ReasonTLS)
		return
	case b[0] != handshakeRecord || len(b) > 1 && b[1] != 3:
		s.unheard()
		return
	case len(b) < recordHeader:
		return
	}
	whole := recordHeader + int(b[3])<<8 + int(b[4])
	if whole > maxHello || whole == recordHeader {
		s.unheard()
		return
	}
	if len(b) >= whole {
		s.start(bytes.Clone(b))
	}
}

// unheard closes a connection on which no handshake has begun.
func (s *secured) unheard() {
	s.port().NoHello()
	s.loop.doom(&s.Conn, ReasonTLS)
}

// late ends a handshake that has not begun, or has not got its place, in time.
func (s *secured) late() {
	if s.busy != nil && s.busy.shake != nil {
		s.loop.doom(&s.Conn, ReasonTLS) // which aborts it
	} else {
		s.unheard()
	}
}

// start asks for a place for the handshake. hello is what has come: a whole record, and
// perhaps more.
func (s *secured) start(hello []byte) {
	busy := s.busy
	putBuffer(busy.in)
	busy.in = nil
	s.restart()
	var err error
	if busy.shake, err = s.port().Start(s.peer(), hello, s); err != nil {
		busy.shake = nil
		s.loop.doom(&s.Conn, ReasonTLS)
		return
	}
	s.loop.arm(&s.Conn)
}

// HandshakeSends is called on the handshake's goroutine.
func (s *secured) HandshakeSends(b []byte) {
	s.post(func() {
		if s.awaits() {
			s.transmit(b)
		}
	})
}

// HandshakeOver is called on the handshake's goroutine. It is posted behind what the
// handshake has sent, and so comes behind it.
func (s *secured) HandshakeOver(result secure.Result) {
	s.post(func() {
		s.loop.stats.LetGo.Add(handshakeBytes)
		crash, crashed := errors.AsType[*secure.Panic](result.Err)
		if crashed {
			s.loop.reactor.handshakePanicked(crash)
		}
		switch {
		case !s.awaits():
		case crashed:
			s.loop.doom(&s.Conn, ReasonPanic)
		default:
			s.shaken(&result)
		}
	})
}

// post has the loop do fn for the connection. A panic costs this one alone, as behind an event.
func (s *secured) post(fn func()) {
	r := s.loop.reactor
	r.shaking.post(s.loop, func() {
		defer r.guard(s.loop, &s.Conn)
		fn()
	})
}

// awaits reports that the handshake's words still count.
func (s *secured) awaits() bool {
	return s.Conn.state == stateReading && s.shaking() && !s.has(flagDoomed) && s.busy != nil && s.busy.shake != nil
}

// shaken goes on behind the handshake: with an alert on its way, or with the records that
// have come meanwhile.
func (s *secured) shaken(result *secure.Result) {
	shake := s.busy.shake
	s.busy.shake = nil
	if result.Err != nil {
		s.failShake(result.Err)
		return
	}
	s.marks &^= markShaking
	s.state, result.State = result.State, tlsrecord.State{}
	s.restart()
	s.open(shake.Rest())
	s.tidy()
	if s.Conn.state != stateClosed && s.Conn.state != stateDraining {
		s.loop.arm(&s.Conn)
	}
}

// failShake ends a connection whose handshake has failed. Its alert is on its way.
func (s *secured) failShake(err error) {
	// What the client has sent may be in the error, as long as it likes.
	reason := err.Error()
	reason = reason[:min(len(reason), maxReason)]
	s.logLater("TLS handshake failed", "", slog.String("reason", reason))
	s.beginDrain(ReasonTLS)
}

// open decrypts the whole records of what was kept followed by b, and hands on what they
// hold in one piece. b is overwritten.
func (s *secured) open(b []byte) {
	kept, begun := (*bytebufferpool.ByteBuffer)(nil), s.loop.now
	if s.inRecord() {
		kept, begun, s.busy.in = s.busy.in, s.busy.begun, nil
		_, _ = kept.Write(b)
		b = kept.B
	}
	data, rest, err := s.decrypt(b)
	if len(rest) < len(b) {
		// The record that was waited for is whole. A request that begins in it began when it did.
		fresh := !s.has(flagMidRequest)
		if len(data) > 0 {
			s.take(data)
		}
		if fresh && s.Conn.state == stateReading && s.has(flagMidRequest) && s.refusal() != ReasonConnections {
			s.since = begun
		}
		begun = s.loop.now
	}
	switch {
	case err != nil:
		s.failRecord(err)
	case len(rest) > 0 && !s.has(flagDoomed) && (s.Conn.state == stateReading || s.Conn.state == stateSubscribed):
		s.hold(rest, begun)
	}
	putBuffer(kept)
	s.tidy()
}

// hold keeps a part of a record, whose first bytes came in the tick begun.
func (s *secured) hold(part []byte, begun uint32) {
	busy := s.needs()
	busy.in, busy.begun = getBuffer(), begun
	_, _ = busy.in.Write(part)
	s.loop.arm(&s.Conn)
}

// inRecord reports that a part of a record has come, and waits for the rest.
func (s *secured) inRecord() bool {
	return s.busy != nil && s.busy.in != nil && !s.shaking()
}

// recordDue is the tick at which a record that has come in part must be whole.
func (c *Conn) recordDue() uint32 {
	if !c.isTLS() || c.state != stateReading && c.state != stateSubscribed || !c.secured().inRecord() {
		return neverDue
	}
	return c.secured().busy.begun + c.loop.reactor.settings.Load().ticks.request
}

// decrypt opens the whole records at the beginning of b. What they hold is moved together
// at its beginning.
func (s *secured) decrypt(b []byte) (data, rest []byte, err error) {
	n := 0
	var opener *tlsrecord.Cipher // for all of them, even if it is not kept
	for rest = b; ; {
		var length int
		if length, err = tlsrecord.RecordLength(rest); err != nil || length == 0 || length > len(rest) {
			return b[:n], rest, err
		}
		if opener == nil {
			opener = s.loop.ciphers.opener(s)
		}
		p, err := s.state.Open(opener, rest[:length])
		if err != nil {
			return b[:n], nil, err
		}
		n += copy(b[n:], p)
		rest = rest[length:]
	}
}

// failRecord ends a connection behind a record that cannot be taken, or behind the last.
func (s *secured) failRecord(err error) {
	if s.Conn.state == stateClosed || s.has(flagDoomed) {
		return
	}
	if err == io.EOF {
		s.loop.doom(&s.Conn, ReasonPeer)
		return
	}
	if s.marks&markGoodbye == 0 {
		s.marks |= markGoodbye
		if alert := tlsrecord.Alert(0); errors.As(err, &alert) {
			s.farewell(alert)
		}
	}
	if s.Conn.state == stateSubscribed {
		s.unsubscribe()
	}
	if s.Conn.state == stateReading {
		s.beginDrain(ReasonTLS)
	}
}

// seal makes records of p, in space of the loop's that the next call reuses.
func (s *secured) seal(p []byte) ([]byte, error) {
	ciphers := &s.loop.ciphers
	return s.state.Seal(ciphers.sealer(s), ciphers.room(len(p)), dataRecord, p)
}

// goodbye says, once, that nothing follows (close_notify). Without it a client cannot tell
// the end from an attack that has cut it off.
func (c *Conn) goodbye() {
	if c.isTLS() && !c.shaking() && c.marks&markGoodbye == 0 && c.state != stateClosed {
		c.marks |= markGoodbye
		c.secured().farewell(tlsrecord.CloseNotify)
	}
}

// farewell sends an alert, behind what is queued, whatever the limit of that is: it is
// the last of the connection, or the next to it.
func (s *secured) farewell(a tlsrecord.Alert) {
	ciphers := &s.loop.ciphers
	s.transmit(s.state.AppendAlert(ciphers.sealer(s), ciphers.room(0), a))
}
