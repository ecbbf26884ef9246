// Package tlsclient makes the crypto/tls configuration of a client from files: the
// authorities that it trusts, and its own certificate.
//
// It must not know who connects where. The programs of the project call it at their start.
package tlsclient
