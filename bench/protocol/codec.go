//go:build linux

package protocol

import (
	"strconv"
	"strings"
)

// Dialect names a server's way of subscribing and publishing.
type Dialect string

// The dialects that the harness speaks.
const (
	DialectIcomet Dialect = "icomet"
	DialectNchan  Dialect = "nchan"
)

// dialect makes requests and reads messages. Channels are prefix+number; the
// prefix is new in every run, so that each channel starts empty.
type Codec interface {
	// subscribe appends a request for what comes from seq next on. cursor is
	// what position returned for the last response on the same subscription.
	Subscribe(b []byte, t Transport, channel, next uint32, cursor []byte) []byte
	Publish(b []byte, c Contents, at int64, channel, number uint32) []byte
	// broadcast appends a request that reaches all channels; nil: not possible.
	Broadcast(b []byte, c Contents, at int64, number uint32) []byte
	Published(status int) bool
	Accepted(body []byte) bool // the body of such an answer
	// later tells that an answer with this status line and body asks to try again, and
	// that nothing was done.
	Later(status string, body []byte) bool
	Messages(t Transport, c Contents, piece []byte, each func(Message) error) error
	// position keeps what a poller needs from a response's head to come back.
	Position(cursor, head []byte) []byte
}

func NewCodec(d Dialect, prefix string) Codec {
	if d == DialectNchan {
		return &nchan{prefix: prefix}
	}
	return &icomet{prefix: prefix}
}

// hostLine names a host that an admin port takes which guards against requests
// for foreign names.
const hostLine = " HTTP/1.1\r\nHost: localhost\r\n"

// longestInTarget is the content size up to which it travels in the request
// line: well below the server's limit of 8 KiB.
const longestInTarget = 4096

type icomet struct{ prefix string }

var subscribePaths = [...]string{Stream: "GET /stream?cname=", SSE: "GET /sse?cname=", Iframe: "GET /iframe?cname=", Poll: "GET /poll?cname="}

func (d *icomet) Subscribe(b []byte, t Transport, channel, next uint32, _ []byte) []byte {
	b = append(append(b, subscribePaths[t]...), d.prefix...)
	b = strconv.AppendUint(b, uint64(channel), 10)
	b = append(b, "&seq="...)
	b = strconv.AppendUint(b, uint64(next), 10)
	return append(append(b, hostLine...), "\r\n"...)
}

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

// post appends a POST request whose body body appends.
func post(b []byte, target string, body func([]byte) []byte) []byte {
	b = append(append(b, target...), hostLine...)
	b = append(b, "Content-Length: "...)
	gap := len(b)
	b = append(b, "0000000\r\n\r\n"...) // MaxSize has 7 digits; leading zeros are digits, too
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

// later: other answers with 503 leave open whether the message was published.
func (d *icomet) Later(status string, body []byte) bool {
	return strings.HasPrefix(status, "HTTP/1.1 503 ") && strings.HasPrefix(string(body), "overloaded: ")
}

func (d *icomet) Messages(t Transport, _ Contents, piece []byte, each func(Message) error) error {
	return icometMessages(t, d.prefix, piece, each)
}

func (d *icomet) Position(cursor, _ []byte) []byte { return cursor }
