// Package redis is the channel.Engine of several nodes: the channels are in Redis
// (alone, with Sentinel or as a Cluster), and each node's hub follows those that have
// subscribers on it.
//
// DESIGN.md has the keys, the way of a message, and what is guaranteed when.
package redis
