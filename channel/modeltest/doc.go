// Package modeltest checks the hub against a plain model of sequences and subscribers:
// random operations, and whatever a subscriber gets has to be what the model says.
// It is a package of its own because the tests of channel use the standard library
// only. server/e2e/model_test.go does the same over sockets.
package modeltest
