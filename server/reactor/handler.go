package reactor

// Handler answers requests: it is the endpoints as the reactor sees them. Its methods
// run on the connection's event loop, so they must not block.
//
// An endpoint answers through the methods of Conn, before it returns:
//
//	Refuse, Text, JSON, Out        a whole answer, at once
//	NewAnswer, Settle              the answer when the engine has its result
//	Bridge                         the answer of a handler of net/http
//	Join, WatchPresence, Follow    a response that stays open
//	Backlog, LongAnswer            what is stored, behind a Join
//	JoinAll, BeginBundle, Answer   the same for several channels
//	SubscribeMore, Unsubscribe     the commands of a WebSocket
//
// The reactor keeps the order of the answers, whichever way they come.
type Handler interface {
	// Serve answers one complete request. It keeps no byte slice of it.
	Serve(c *Conn, r *Request)
	// Refuses reports, from the head alone, that r will be answered with an error
	// whatever its body is. Nobody then asks the client for the body.
	Refuses(c *Conn, r *Request) bool
	// Opens reports, from the head alone, that the response to r would stay open
	// though r came in on the admin port. It then waits for the answers before it.
	Opens(c *Conn, r *Request) bool
	// Subscribes reports, from the head alone, that r is for a path that subscribes. Over
	// the connection cap Serve then answers it, in the form that its clients come back
	// after, because browsers take a 503 for final. Anything else gets the 503.
	Subscribes(c *Conn, r *Request) bool
	// Command carries out what a WebSocket client has sent as a text message. It keeps no
	// byte of it.
	Command(c *Conn, text []byte)
}
