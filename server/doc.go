// Package server is the network side: gnet's event loops, HTTP, the endpoints of
// both ports and the delivery of messages. It alone imports gnet.
//
// The receiver of a method tells the thread. Methods of loop and conn, and what
// these own, run on that event loop's goroutine; methods of Server run anywhere.
// The exceptions (Push, Wake, post, Full, HalfFull, Busy, answer.Done) say so.
//
// DESIGN.md has the flows, who owns what, and the facts about gnet that shape the
// code.
package server
