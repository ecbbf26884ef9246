// Package tlsrecord is the server's side of the record layer of TLS 1.3 (RFC 8446) and of
// TLS 1.2 with AEAD suites (RFC 5246, 5288, 7905), after a handshake that crypto/tls did.
//
// It must not know connections, handshakes, certificates, files, clocks or goroutines:
// secrets and bytes go in, bytes come out. It allocates when a State or Cipher is made,
// when a key changes, and when the dst that the caller lends must grow.
//
// Nothing here is safe for concurrent use: a State and its Ciphers belong to the event
// loop of their connection, and all calls come from that loop.
//
// Go cannot promise that secrets are erased from memory; the package does not try.
package tlsrecord
