// Package modeltest holds the hub against a plain model of protocol §4 and §5:
// random operations, and whatever a subscriber gets has to be what the model says.
// It is a package of its own since the tests of channel need the standard library
// only. server/e2e/model_test.go does the same over sockets.
package modeltest
