// Package access decides who may do what: address lists, admin keys, JSON Web Tokens,
// browser origins and host names, trusted proxies with X-Forwarded-For and the PROXY
// header, and the counts behind the connection limits.
//
// It judges what it is given (addresses, parsed requests, tokens) and knows no
// connections; the reactor asks it for each connection, the endpoints for each request.
// Everything in it is immutable and safe for concurrent use, but Counts, which has locks.
package access
