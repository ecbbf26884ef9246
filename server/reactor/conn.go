package reactor

import (
	"slices"

	"github.com/panjf2000/gnet/v2"

	"icomet/channel"
	"icomet/httpparse"
	"icomet/server/wire"
)

// connState: reading ⇄ subscribed, either → draining → closed.
type connState uint8

const (
	stateReading    connState = iota // waits for, or is in, a request
	stateSubscribed                  // its response is open
	stateDraining                    // gets its last answer out; input is discarded
	stateClosed                      // gnet has let it go: it must not be written to
)

type connFlags uint16

const (
	flagAdmin       connFlags = 1 << iota // came in on the admin port
	flagHTTP10                            // the open request is HTTP/1.0
	flagClose                             // the connection ends with the open answer
	flagBare                              // a poll without a callback
	flagQueued                            // gnet holds output (checked before each write)
	flagMidRequest                        // a part of a request has come
	flagFlushed                           // draining: our half of the connection is closed
	flagDoomed                            // will be closed at the end of the run
	flagReady                             // in loop.ready
	flagPerIP                             // in a count by address
	flagTrusted                           // made by a trusted proxy
	flagProxyHeader                       // its PROXY header has not come yet
	flagServed                            // Has been a subscriber
	flagParked                            // its request waits for the engine
	flagFetched                           // its request is served again, since the engine is done
	flagReplaying                         // in loop.replays: its backlog is on its way
	flagNone        connFlags = 0
)

// Conn is one connection. There are as many as clients, so it is kept small: what only a
// busy connection needs is in exchange. All methods run on the event loop of the
// connection; endpoints use the exported ones.
type Conn struct {
	gc   gnet.Conn
	loop *loop
	ex   *exchange // nil when nothing is unfinished

	subscription         // the only one, unless there is a bundle
	bundle       *bundle // of a connection with several channels, or none; else nil

	timeNext, timePrev *Conn // loop.wheel

	noop  int64  // number of its next heartbeat
	fd    int32  // for raw sends
	since uint32 // Tick from which its present deadline counts
	slot  uint16 // in the wheel, or noSlot

	flags     connFlags
	state     connState
	transport wire.Transport
	reason    CloseReason
	marks     connMarks
}

// connMarks are what flags has no room for.
type connMarks uint8

const (
	markRefusal  connMarks = 1<<2 - 1 // index in refusals
	markPosition connMarks = 1 << 2   // as a subscriber, it is told its position
	markAwaited  connMarks = 1 << 3   // for its replays, its socket is awaited: see writable
	markTLS      connMarks = 1 << 4   // it is the first field of a secured
	markShaking  connMarks = 1 << 5   // its TLS handshake is not over
	markGoodbye  connMarks = 1 << 6   // it has been sent its last alert
)

// refusals are why the requests of a connection can be refused; the first: they are not.
var refusals = [...]CloseReason{ReasonPeer, ReasonConnections, ReasonAddress, ReasonPerIP}

// refusal is one of refusals.
func (c *Conn) refusal() CloseReason { return refusals[c.marks&markRefusal] }

func (c *Conn) setRefusal(why CloseReason) {
	c.marks = c.marks&^markRefusal | connMarks(slices.Index(refusals[:], why))
}

func (c *Conn) tellsPosition() bool { return c.marks&markPosition != 0 }

// subscription is the place of a connection among the subscribers of one channel.
type subscription struct {
	conn *Conn
	ch   *channel.Channel // nil for presence

	subNext, subPrev *subscription // loop.subs: others of the same channel
	hashNext         *subscription // loop.subs: of the first of its channel

	next int64 // Seq of the first message it has not got
}

func (c *Conn) has(f connFlags) bool { return c.flags&f != 0 }
func (c *Conn) set(f connFlags)      { c.flags |= f }
func (c *Conn) clear(f connFlags)    { c.flags &^= f }

func (c *Conn) put(f connFlags, on bool) {
	if c.clear(f); on {
		c.set(f)
	}
}

// failWith answers an error after which the end of the request is not known, and closes
// the connection when the answer has gone out.
func (c *Conn) failWith(h wire.Head, text string, reason CloseReason) {
	c.loop.stats.refused(h.Status)
	c.logError(nil, h.Status, text)
	h.Connection = wire.ConnClose
	if ex := c.ex; ex != nil && len(ex.pending) > 0 {
		// It waits for the answers before it; arrived closes the connection.
		ex.pending = append(ex.pending, &Answer{Conn: c, ready: true, text: c.appendText(nil, &h, text)})
		c.reason = reason
		c.clear(flagMidRequest)
		c.set(flagClose)
		return
	}
	c.loop.out.B = c.appendText(c.loop.out.B, &h, text)
	c.flush()
	c.beginDrain(reason)
}

// failParse answers an error of the parser.
func (c *Conn) failParse(err error) {
	bad := err.(*httpparse.Error)
	c.failWith(wire.Head{Status: bad.Status}, bad.Text, ReasonBadRequest)
}

// appendText appends an answer with one line of text. Errors have no request to go
// by: they get the CORS field of a request without Origin.
func (c *Conn) appendText(dst []byte, h *wire.Head, text string) []byte {
	h.Ctype = wire.ContentText
	h.Length = len(text) + 1
	h.Date = c.loop.reactor.dateText()
	if !c.has(flagAdmin) && h.Origin == "" {
		h.CORS = c.cors(nil)
	}
	h.CORS.STS = c.StrictTransport()
	return append(append(h.Append(dst), text...), '\n')
}

// closed is called when gnet has closed the connection.
func (c *Conn) closed() {
	l := c.loop
	defer func() { c.state = stateClosed }() // after a panic too (gnet fact 6)
	switch {
	case c.state == stateSubscribed:
		c.unsubscribe()
	case c.state == stateDraining && !c.has(flagFlushed):
		l.unflushed.Add(-1)
	}
	c.state = stateClosed
	l.wheel.remove(c)
	c.releaseExchange()
	if c.isTLS() {
		c.secured().release()
	}
	l.stats.closed(c)
	c.leave()
}

// CloseReason says why a connection ended: one list for log, stats and tests.
type CloseReason uint8

const (
	ReasonPeer           CloseReason = iota // the client closed, or its connection broke
	ReasonAnswered                          // after an answer with Connection: close
	ReasonBadRequest                        // after an error answer that leaves the framing in doubt
	ReasonRequestTimeout                    // no complete request in limits.request_timeout
	ReasonIdle                              // no request in limits.idle_timeout
	ReasonSlowConsumer                      // over limits.outbound_buffer
	ReasonChannelClosed                     // /close, on a connection that cannot be kept
	ReasonDrain                             // shutdown
	ReasonAddress                           // refused by admin.allow and admin.deny
	ReasonConnections                       // over the connection cap
	ReasonPerIP                             // over limits.connections_per_ip
	ReasonPipelined                         // more bytes sent behind an unfinished answer than are kept
	ReasonFlush                             // the client did not take its last answer in time
	ReasonPanic                             // a bug, recovered at gnet's boundary
	ReasonInternal                          // a connection of the server's own
	ReasonUnavailable                       // the store of the channels cannot be reached
	ReasonChannelEnded                      // /end, on a connection that cannot be kept
	ReasonTLS                               // the TLS handshake failed, or a record was wrong
	ReasonCount                             // how many there are
)

// ReasonNames are the names that logs, reports and metrics use.
var ReasonNames = [ReasonCount]string{
	"peer", "answered", "bad_request", "request_timeout", "idle_timeout", "slow_consumer",
	"channel_closed", "drain", "address_refused", "connection_limit", "per_ip_limit",
	"pipelined_input", "flush_timeout", "panic", "internal",
	"unavailable", "channel_ended", "tls",
}

// cuts reports that the client has not got all that it was to get.
func (r CloseReason) cuts() bool {
	return r == ReasonSlowConsumer || r == ReasonUnavailable || r == ReasonFlush || r == ReasonPanic
}

// String is the name in ReasonNames.
func (r CloseReason) String() string { return ReasonNames[r] }
