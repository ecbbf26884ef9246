// Command icomet-server runs the push server.
//
//	icomet-server [flags] [CONFIG]
//
// It reads the configuration, takes the pidfile, opens the log, chooses the engine, runs
// package server, turns signals into calls of it, and tells the service manager. With -s it
// signals a server that is running, with -health it asks one. It must not know connections,
// requests or event loops. Signals, and what the service manager is told, have goroutines
// of their own; the rest runs on the main goroutine.
package main
