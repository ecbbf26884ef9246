// Package enginetest is a test suite for the behaviour that every channel.Engine must
// have. The tests of each engine call Run.
//
// It must not know any engine, and it does not rely on time: an answer may come before
// the call returns or later from another goroutine, so the suite waits for Done.
package enginetest
