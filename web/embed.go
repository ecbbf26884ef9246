// Package web holds the browser client, as the front port serves it.
//
// icomet.js and icomet.mjs are made from src/icomet.js and committed, so that a
// build of the server needs no tool of the web.
package web

import _ "embed"

//go:generate go run ./build

// Script is the client as a classic script: it sets the global iComet.
//
//go:embed icomet.js
var Script []byte

// Module is the client as an ES module.
//
//go:embed icomet.mjs
var Module []byte
