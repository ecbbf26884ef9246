// Package wire makes the bytes that go out: heads of answers, JSON, and messages in the
// form of each transport (poll, JSONP, stream, server-sent events, iframe, presence).
//
// All functions are pure: they append to the slice that they are given, allocate nothing
// else, and know neither connections nor channels beyond the channel.Message that they
// encode. They may be called from any goroutine. A type with a pointer receiver is not
// safe for use by several at once.
package wire
