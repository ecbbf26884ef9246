//go:build linux

package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect names the way in which a server is subscribed at and published to.
type Dialect string

// The dialects that the harness speaks.
const (
	DialectIcomet     Dialect = "icomet"
	DialectNchan      Dialect = "nchan"
	DialectCentrifuge Dialect = "centrifuge"
)

// ParseDialect reads a dialect's name; "" is iComet's.
func ParseDialect(s string) (Dialect, error) {
	switch d := Dialect(s); d {
	case "":
		return DialectIcomet, nil
	case DialectIcomet, DialectNchan, DialectCentrifuge:
		return d, nil
	}
	return "", fmt.Errorf("dialect %q: want icomet, nchan or centrifuge", s)
}

// Codec makes the requests and reads the messages of one dialect. Request methods append
// to b. Channels are named prefix+number; the prefix is new in every run, so that each
// channel starts empty.
type Codec interface {
	// Subscribe appends a request for the messages of one or more channels. cursor is what
	// Position returned for the last response of the same subscription.
	Subscribe(b []byte, t Transport, places []Place, cursor []byte) []byte
	// Join appends what a subscriber has to send when the head of the response is there. It
	// returns b where the request has said all; else a message of KindJoined says when the
	// subscription is up.
	Join(b []byte, places []Place) []byte
	// Publish appends a request that publishes message number to a channel. at is the
	// time of sending in its content, in nanoseconds.
	Publish(b []byte, c Contents, at int64, channel, number uint32) []byte
	// Broadcast appends a request that reaches all channels. It returns nil where the
	// server has none.
	Broadcast(b []byte, c Contents, at int64, number uint32) []byte
	// Published reports whether an answer with this status says that a message was
	// published, and Accepted whether its body says so, too.
	Published(status int) bool
	Accepted(body []byte) bool
	// Later reports whether an answer with this status line and body says that nothing
	// was done and the request should be sent again.
	Later(status string, body []byte) bool
	// Messages calls each for every message in one piece of a response: a chunk of a
	// stream, a WebSocket's frame, or the body of a poll. several says that the connection
	// has several channels. It returns the first error of each, or one for which IsCorrupt
	// is true.
	Messages(t Transport, several bool, c Contents, piece []byte, each func(Message) error) error
	// Position returns what a poller needs from a response's head to ask for the next
	// messages. It reuses cursor's memory.
	Position(cursor, head []byte) []byte
}

// Place is a channel, and the seq of the message that is wanted next.
type Place struct{ Channel, Next uint32 }

// NewCodec returns the codec of a dialect; any name that ParseDialect does not know is iComet's.
func NewCodec(d Dialect, prefix string) Codec {
	switch d {
	case DialectNchan:
		return &nchan{prefix: prefix}
	case DialectCentrifuge:
		return &centrifuge{nchan{prefix: prefix}}
	}
	return &icomet{prefix: prefix}
}

// hostLine names localhost: an admin port that checks the Host field accepts it.
const hostLine = " HTTP/1.1\r\nHost: localhost\r\n"

// longestInTarget is the largest content, in bytes, that is sent in the request line:
// well below the server's limit of 8 KiB. Larger ones are POSTed.
const longestInTarget = 4096

type icomet struct{ prefix string }

var subscribePaths = [...]string{Stream: "GET /stream", SSE: "GET /sse", Iframe: "GET /iframe", Poll: "GET /poll", WS: "GET /ws"}

func (d *icomet) Subscribe(b []byte, t Transport, places []Place, _ []byte) []byte {
	b = append(b, subscribePaths[t]...)
	separator := byte('?')
	for _, p := range places {
		b = append(append(append(b, separator), "cname="...), d.prefix...)
		b = strconv.AppendUint(b, uint64(p.Channel), 10)
		b = append(b, "&seq="...)
		b = strconv.AppendUint(b, uint64(p.Next), 10)
		separator = '&'
	}
	b = append(b, hostLine...)
	if t == WS {
		b = append(b, wsUpgrade...)
	}
	return append(b, "\r\n"...)
}

func (d *icomet) Join(b []byte, _ []Place) []byte { return b }

func (d *icomet) Publish(b []byte, c Contents, at int64, channel, number uint32) []byte {
	form := func(b []byte) []byte {
		b = append(append(b, "cname="...), d.prefix...)
		b = strconv.AppendUint(b, uint64(channel), 10)
		return c.append(append(b, "&content="...), at, channel, number)
	}
	if c.size <= longestInTarget {
		b = form(append(b, "GET /push?"...))
		return append(append(b, hostLine...), "\r\n"...)
	}
	return post(b, "POST /push", form)
}

func (d *icomet) Broadcast(b []byte, c Contents, at int64, number uint32) []byte {
	form := func(b []byte) []byte {
		return c.append(append(b, "content="...), at, BroadcastChannel, number)
	}
	if c.size <= longestInTarget {
		b = form(append(b, "GET /broadcast?"...))
		return append(append(b, hostLine...), "\r\n"...)
	}
	return post(b, "POST /broadcast", form)
}

// post appends a POST request. body appends its body.
func post(b []byte, target string, body func([]byte) []byte) []byte {
	b = append(append(b, target...), hostLine...)
	b = append(b, "Content-Length: "...)
	gap := len(b)
	b = append(b, "0000000\r\n\r\n"...) // MaxSize has 7 digits; leading zeros are allowed
	from := len(b)
	b = body(b)
	n := len(b) - from
	for i := gap + 6; i >= gap; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

func (d *icomet) Published(status int) bool { return status == 200 }

func (d *icomet) Accepted(body []byte) bool {
	return string(body) == "{\"type\":\"ok\"}\n" || string(body) == "ok\n" // push, broadcast
}

// Later: only this text says that nothing was done. After any other 503 the message may
// have been published.
func (d *icomet) Later(status string, body []byte) bool {
	return strings.HasPrefix(status, "HTTP/1.1 503 ") && strings.HasPrefix(string(body), "overloaded: ")
}

func (d *icomet) Messages(t Transport, several bool, _ Contents, piece []byte, each func(Message) error) error {
	return icometMessages(t, several, d.prefix, piece, each)
}

func (d *icomet) Position(cursor, _ []byte) []byte { return cursor }
