package web

import _ "embed"

//go:generate go run ./build

// Script is the client as a classic script, which sets the global iComet.
//
//go:embed icomet.js
var Script []byte

// Module is the client as an ES module.
//
//go:embed icomet.mjs
var Module []byte
