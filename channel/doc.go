// Package channel is the push server without a network: channels with their
// sequence numbers and stored messages, who subscribes to them, tokens, expiry
// and presence.
//
// It starts no timer and reads no clock: time comes in through Hub.Tick, so that
// tests control it. It never writes to a socket: a message goes to the Sinks (in
// the server, the event loops) that have subscribers of the channel.
//
// DESIGN.md has the lock order, the sequence rules and what a subscriber may miss.
package channel
