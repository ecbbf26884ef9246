// Package deflate compresses messages for WebSocket clients that have negotiated
// permessage-deflate (RFC 7692), and inflates theirs.
//
// Every message is compressed by itself, without the context of those before: so a message
// is compressed once for all subscribers, and an idle connection holds no window. It must not
// know frames or connections. The event loops call it; it is concurrency-safe.
package deflate
