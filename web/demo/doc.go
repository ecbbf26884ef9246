// Command demo is a small chat: an application that shows how to use the push server.
//
//	browser ──page, join, sign, pub──▶ this application ──sign, push──▶ admin port
//	   └──────────subscribe with the token──────────────────────────▶ front port
//
// The push server knows nothing about people: the application decides who gets a
// channel's token (/sign) and who may publish what (/pub); see guard.go. It talks to the
// server through package client only. net/http calls the handlers, each request on its
// own goroutine.
//
//	make demo
//	make demo TLS=1
package main
