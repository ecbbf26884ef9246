// Package redis measures what the Redis engine costs: publishes against redis-benchmark
// with the same script, the latency that Redis adds, and what a node does for channels
// that have no subscribers on it. The script "redis" in this folder runs all of it.
//
// It must not make load of its own but for redis-benchmark: bench.Run does. The command
// calls it from one goroutine, and only one thing is measured at a time.
package redis
