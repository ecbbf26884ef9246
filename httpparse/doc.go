// Package httpparse reads HTTP/1.x requests out of byte slices: the head, the
// chunked body, and the parameters in query strings, forms and flat JSON.
//
// It is pure. Bytes go in and views of the same bytes come out; there is no
// I/O, no clock, no state between calls but what the caller holds, and no
// allocation, save when a slice that the caller lends (Request.Fields, the
// scratch space of JSONMembers, the dst of AppendUnescaped) must grow.
//
// # Ownership
//
// The caller owns the buffer. Every []byte in a Request, and every run of body
// bytes, is a view of that buffer and is good until the buffer changes.
// Nothing here is safe for use by two goroutines at once: in this server each
// event loop has its own Request.
//
// # Outcomes
//
// Parse has three: nil (a whole head), ErrIncomplete (come back with more
// bytes), and *Error (answer with its status and close: the framing is in
// doubt). The verdict depends on the bytes alone and not on how they were cut
// into reads: once a prefix is refused, everything that begins with it is
// refused with the same Error. Reading in one piece can only refuse earlier.
//
// # Strictness
//
// Where RFC 9112 lets a recipient be lenient, this package is not, since
// every leniency is a way to disagree with a proxy about where a request ends:
// CRLF is the only line end, no folded fields, no white space round the field
// name or the chunk size, one framing per request, one Host. Limits are
// checked while the bytes arrive, so a caller never has to buffer more than
// Limits.RequestLine + Limits.Header + a few bytes of head.
package httpparse
