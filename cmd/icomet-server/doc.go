// Command icomet-server runs the push server.
//
//	icomet-server [flags] [CONFIG]
//
// It reads the configuration, takes the pidfile, opens the log, chooses the engine, runs
// package server, and turns signals into calls of it. With -s it signals a server that is
// running. It must not know connections, requests or event loops. Signals are handled on
// a goroutine of their own; the rest runs on the main goroutine.
package main
