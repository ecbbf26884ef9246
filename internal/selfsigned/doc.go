// Package selfsigned makes certificate authorities and certificates that they sign, for
// tests and for the demo. Nobody but who asked for them trusts them.
//
// It must not know who uses the certificates: no server, no configuration. An Authority
// may be used by one goroutine at a time.
package selfsigned
