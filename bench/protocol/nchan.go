//go:build linux

package protocol

import (
	"bytes"
	"fmt"
	"strconv"
)

// nchan speaks to nginx's nchan module, configured by bench/target/nginx.conf: it
// publishes by POST to /pub?c=NAME and delivers the raw content, so that seq and
// time are found in the content itself.
type nchan struct{ prefix string }

var nchanPaths = [...]string{Stream: "GET /stream?c=", SSE: "GET /sse?c=", Iframe: "GET /iframe?c=", Poll: "GET /poll?c=", WS: "GET /ws?c="}

func (d *nchan) Subscribe(b []byte, t Transport, places []Place, cursor []byte) []byte {
	b = append(b, nchanPaths[t]...)
	for i, p := range places {
		if i > 0 {
			b = append(b, ',') // its multiplexing
		}
		b = strconv.AppendUint(append(b, d.prefix...), uint64(p.Channel), 10)
	}
	b = append(b, hostLine...)
	if t == WS {
		b = append(b, wsUpgrade...)
	}
	if t == SSE {
		b = append(b, "Accept: text/event-stream\r\n"...)
	}
	if t == Stream {
		b = append(b, "TE: chunked\r\n"...) // nchan's condition for a chunked stream
	}
	return append(append(b, cursor...), "\r\n"...)
}

func (d *nchan) Join(b []byte, _ []Place) []byte { return b }

func (d *nchan) Publish(b []byte, c Contents, at int64, channel, number uint32) []byte {
	b = append(append(b, "POST /pub?c="...), d.prefix...)
	b = strconv.AppendUint(b, uint64(channel), 10)
	return post(b, "", func(b []byte) []byte { return c.append(b, at, channel, number) })
}

func (d *nchan) Broadcast([]byte, Contents, int64, uint32) []byte { return nil }

// Published: nchan answers 201 when somebody listened and 202 when nobody did.
func (d *nchan) Published(status int) bool { return status >= 200 && status <= 202 }

func (d *nchan) Accepted([]byte) bool { return true } // it describes queue and subscribers

func (d *nchan) Later(string, []byte) bool { return false }

func (d *nchan) Messages(t Transport, _ bool, c Contents, piece []byte, each func(Message) error) error {
	for len(piece) > 0 {
		content := piece
		switch t {
		case SSE:
			event, rest, ok := bytes.Cut(piece, []byte("\n\n"))
			_, data, has := bytes.Cut(event, []byte("data: "))
			if !has && ok { // the comment that opens the stream
				piece = rest
				continue
			}
			content, piece = data, rest
		default:
			if len(piece) > c.size {
				content = piece[:c.size]
			}
			piece = bytes.TrimPrefix(piece[len(content):], []byte("\n"))
		}
		_, channel, number, ok := c.Read(content)
		if !ok {
			return fmt.Errorf("%w: %.120q", errMessage, content)
		}
		if err := each(Message{Kind: KindData, Channel: channel, Seq: number, Content: content}); err != nil {
			return err
		}
	}
	return nil
}

// Position: a message's place is its Last-Modified and Etag, which the next poll sends back.
func (d *nchan) Position(cursor, head []byte) []byte {
	cursor = cursor[:0]
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		head = rest
		switch {
		case hasField(line, "last-modified:"):
			cursor = append(append(cursor, "If-Modified-Since:"...), line[len("last-modified:"):]...)
			cursor = append(cursor, "\r\n"...)
		case hasField(line, "etag:"):
			cursor = append(append(cursor, "If-None-Match:"...), line[len("etag:"):]...)
			cursor = append(cursor, "\r\n"...)
		}
	}
	return cursor
}
