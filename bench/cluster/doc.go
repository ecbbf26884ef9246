// Package cluster measures several nodes that share one Redis: each has subscribers of
// every channel. The script "cluster" in this folder runs it with 216,000 of them.
//
// It must not make load of its own: bench.Run does, once with publishes and once with
// broadcasts. The command calls Run from one goroutine.
package cluster
