package server

// closeReason says why a connection ended: one list for log, stats and tests.
type closeReason uint8

const (
	reasonPeer           closeReason = iota // the client closed, or its connection broke
	reasonAnswered                          // after an answer with Connection: close
	reasonBadRequest                        // after an error answer that leaves the framing in doubt
	reasonRequestTimeout                    // no complete request in limits.request_timeout
	reasonIdle                              // no request in limits.idle_timeout
	reasonSlowConsumer                      // over limits.outbound_buffer
	reasonChannelClosed                     // /close, on a connection that cannot be kept
	reasonDrain                             // shutdown
	reasonAddress                           // refused by admin.allow and admin.deny
	reasonConnections                       // over the connection cap
	reasonPerIP                             // over limits.connections_per_ip
	reasonPipelined                         // more bytes sent behind an unfinished answer than are kept
	reasonFlush                             // the client did not take its last answer in time
	reasonPanic                             // a bug, recovered at gnet's boundary
	reasonInternal                          // a connection of the server's own
	reasonUnavailable                       // the store of the channels cannot be reached
	reasonCount
)

var reasonNames = [reasonCount]string{
	"peer", "answered", "bad_request", "request_timeout", "idle_timeout", "slow_consumer",
	"channel_closed", "drain", "address_refused", "connection_limit", "per_ip_limit",
	"pipelined_input", "flush_timeout", "panic", "internal",
	"unavailable",
}

func (r closeReason) String() string { return reasonNames[r] }
