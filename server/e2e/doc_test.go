// Package e2e tests whole servers over sockets, in this process: what a client sends and
// gets, byte by byte (testdata/transcripts) or by what it means.
package e2e
