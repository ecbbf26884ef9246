// Package tlsrecord is the server's side of the record layer of TLS 1.3 (RFC 8446) and of
// TLS 1.2 with AEAD suites (RFC 5246, 5288, 7905), after a handshake that crypto/tls did.
//
// It must not know connections, handshakes, clocks or goroutines. It allocates when a State
// or Cipher is made, when a key changes, and when the dst that the caller lends must grow.
// A State and its Ciphers belong to the event loop of their connection; all calls come from
// there. Go cannot promise that secrets are erased from memory; nothing here tries.
package tlsrecord
