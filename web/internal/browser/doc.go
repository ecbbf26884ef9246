// Package browser drives Chromium in tests of the web packages, with the keys and the
// mouse as a person does. It must not know what
// the pages do, nor the server. The goroutine of a test calls it.
package browser
