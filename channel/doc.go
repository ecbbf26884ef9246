// Package channel is the push server without a network: channels with their sequence
// numbers and stored messages, their subscribers, tokens, expiry and presence.
//
// It must not know sockets, HTTP, JSON, logs or the clock: time comes in through
// Hub.Tick, so that tests control it. Messages go out through the Sinks (in the server,
// the event loops).
//
// Event loops call Join and Leave; any goroutine may call the rest, except where a
// comment says otherwise. One goroutine calls Hub.Tick.
//
// DESIGN.md has the lock order, the sequence rules and what a subscriber may miss.
package channel
