// Package protocol is what the harness and a server say to each other, byte by byte:
// requests, HTTP responses, the messages of each transport, and contents that can be
// checked. It is written apart from the server's parser, so that a fault there is found.
//
// It must not know sockets, runs or counts: it appends to and reads from byte slices. A
// value belongs to one worker's thread, except a Contents, which is only read.
package protocol
