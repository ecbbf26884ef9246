// Package secure does the handshakes of TLS: certificate files, one configuration for each
// port, places for handshakes in flight, and the handshake itself, which crypto/tls does on
// a goroutine of its own. Its result is a tlsrecord.State; the tls.Conn is thrown away.
//
// It must not know gnet, descriptors, requests or configuration files: bytes from the
// client are fed in, and bytes for the client go to a Peer.
//
// The reactor calls Start and the methods of Handshake on the event loop of a connection;
// they never block. A Peer is called on the handshake's goroutine. The methods of Port may
// be called from any goroutine, Load belongs to the start and to a reload.
//
// Secrets are in no error and no log. Go cannot promise that they are erased from memory.
package secure
