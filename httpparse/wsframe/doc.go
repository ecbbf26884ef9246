// Package wsframe reads the frames of WebSocket clients, writes those of the server, and
// judges the handshake (RFC 6455; permessage-deflate: RFC 7692).
//
// It must not know connections, clocks or goroutines. Bytes go in, and events come out.
// The zero Reader is one between two messages, so only a connection in the middle of one
// has to keep its Reader; the others need none. A message that arrives whole stays where
// it is, in the bytes of the caller. Only the parts of one that does not are collected, in
// a buffer that the caller lends and that grows with what has come, never with a length
// that a client claims. Only that buffer and the dst of an Append function may grow;
// nothing else is allocated.
//
// Compressed messages are passed on as they are: inflating them, and judging size and
// UTF-8 of the result, is the caller's. Time is too: a client may send a message in many
// fragments, empty ones as well, and never end it. Nothing here is concurrency-safe.
package wsframe
