// Command build makes the distributed files of the browser client from web/src.
//
//	go run ./build         write icomet.js and icomet.mjs (in web/)
//	go run ./build -check  fail if they differ from what the source gives
//
// It uses esbuild through its Go package, so neither node nor npm is needed. It must not
// know the server. "go generate ./web" and a test of package web call it.
package main
