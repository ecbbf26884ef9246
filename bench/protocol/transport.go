//go:build linux

package protocol

import "fmt"

// Transport is the way in which a subscriber gets its messages.
type Transport uint8

// The transports of the protocol: chunked lines, server-sent events, script tags in a
// page, long polls, and the text frames of a WebSocket.
const (
	Stream Transport = iota
	SSE
	Iframe
	Poll
	WS
)

var transportNames = [...]string{Stream: "stream", SSE: "sse", Iframe: "iframe", Poll: "poll", WS: "ws"}

// String is the name that ParseTransport reads.
func (t Transport) String() string { return transportNames[t] }

// ParseTransport reads a transport's name: stream, sse, iframe, poll or ws. Any other name is
// an error that lists these.
func ParseTransport(s string) (Transport, error) {
	for t, name := range transportNames {
		if s == name {
			return Transport(t), nil
		}
	}
	return 0, fmt.Errorf("transport %q: want stream, sse, iframe, poll or ws", s)
}
