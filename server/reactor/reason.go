package reactor

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
	ReasonCount                             // how many there are
)

// ReasonNames are the names that logs, reports and metrics use.
var ReasonNames = [ReasonCount]string{
	"peer", "answered", "bad_request", "request_timeout", "idle_timeout", "slow_consumer",
	"channel_closed", "drain", "address_refused", "connection_limit", "per_ip_limit",
	"pipelined_input", "flush_timeout", "panic", "internal",
	"unavailable",
}

// String is the name in ReasonNames.
func (r CloseReason) String() string { return ReasonNames[r] }
