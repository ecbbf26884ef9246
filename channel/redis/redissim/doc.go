// Package redissim is a Redis that lives inside a test: the commands that package redis
// needs, its Lua scripts, pub/sub, and a network whose every byte waits until the test
// lets it pass.
//
// It has no goroutine and no randomness of its own. The test's scheduler calls Link's
// methods, which carry out commands and hand answers over; so the scheduler decides the
// order of all events, and the same decisions give the same run. The clients' side of a
// connection (Conn) works inside a testing/synctest bubble.
//
// It must not know package redis. A test holds its commands against a real redis-server.
package redissim
