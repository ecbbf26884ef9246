// Package httpparse reads HTTP/1.x requests from byte slices: the head, the chunked body,
// and the parameters in query strings, forms and flat JSON.
//
// It must not know connections, files, clocks or goroutines. Bytes go in, and slices of
// the same bytes come out. It keeps no state between calls, and allocates only when a
// slice that the caller lends must grow (Request.Fields, the scratch space of
// JSONMembers, the dst of AppendUnescaped).
//
// The caller owns the buffer: every []byte in a result is a slice of it and is valid
// until the buffer changes. Nothing here is concurrency-safe; each event loop has its own
// Request.
package httpparse
