// Package web has the browser client as files, which the server's front port serves.
//
// Command build makes icomet.js and icomet.mjs from src/. They are committed, so that a
// build of the server needs no web tools. The package must not know the server: it only
// embeds files. Its tests drive the client in a real browser against a real server.
package web
