// Package modeltest compares the hub with a plain model of its rules (channel/DESIGN.md):
// after random operations, each subscriber must have got what the model says.
//
// It is a package of its own because the tests of channel may import the standard library
// only. It has tests only, and nobody imports it. server/e2e does the same over sockets.
package modeltest
