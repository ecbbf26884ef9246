// Package browser drives Chromium in tests of the web packages. It must not know what
// the pages do, nor the server. The goroutine of a test calls it.
package browser
