// Package torture proves that nothing a client does, and nothing that happens to the
// process, hurts the others (issue 4). It has tests only: they run the real
// icomet-server as a process of its own and talk to it over sockets.
//
// Each test has a short size, which runs with all tests, and the full size,
// with ICOMET_TORTURE=full ("make torture"). TestSoak lasts as long as
// ICOMET_SOAK_SECONDS says ("make soak").
//
// The server is built without the race detector where memory and latency are judged.
package torture
