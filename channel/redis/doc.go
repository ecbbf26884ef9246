// Package redis is the channel.Engine of several nodes: the channels are in Redis (alone,
// with Sentinel or as a Cluster), and each node's hub has copies of those with
// subscribers on that node.
//
// It must not know HTTP, event loops or the encoding of messages. It alone imports the
// Redis client. Event loops call the Engine's methods, which do not wait for Redis; the
// package's own goroutines talk to Redis and call Done.
//
// DESIGN.md has the keys, the way of a message, and what is guaranteed when.
package redis
