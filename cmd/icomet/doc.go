// Command icomet is the command line client of an iComet server: it subscribes,
// publishes, and shows what the server does.
//
//	icomet sub news
//	icomet pub news 'hello'
//
// It talks to a server through package client only, and must not know how the server
// works. Everything runs on the main goroutine, but for the reading of standard input.
package main
