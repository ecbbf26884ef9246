//go:build linux

package protocol

import "fmt"

// Transport is the way in which a subscriber gets its messages.
type Transport uint8

// The transports of the protocol.
const (
	Stream Transport = iota
	SSE
	Iframe
	Poll
)

var transportNames = [...]string{Stream: "stream", SSE: "sse", Iframe: "iframe", Poll: "poll"}

// String is the name on the command line.
func (t Transport) String() string { return transportNames[t] }

// ParseTransport reads the name on the command line.
func ParseTransport(s string) (Transport, error) {
	for t, name := range transportNames {
		if s == name {
			return Transport(t), nil
		}
	}
	return 0, fmt.Errorf("transport %q: want stream, sse, iframe or poll", s)
}
