// Package reactor holds the connections of both ports on gnet's event loops: it accepts,
// parses requests, hands them to a Handler, keeps the order of answers, delivers messages
// to subscribers, and ends connections by deadline or drain. It alone imports gnet, and
// knows no endpoint.
//
// The receiver tells the goroutine. Methods of loop and Conn, and of what these own, run
// on that event loop's goroutine and must not block; methods of Reactor and Feed run
// anywhere. The exceptions (Push, Wake, post, Full, HalfFull, Busy, Answer.Done) say so.
// ../DESIGN.md has who owns what, the flows, and the facts about gnet behind the code.
package reactor
