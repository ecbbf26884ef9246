//go:build linux

package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// centrifuge speaks to bench/compare/centrifuge: the JSON protocol of Centrifugo's library, over
// WebSocket only. A connection says after the handshake what it subscribes to. Messages are
// published as for nchan, by POST to /pub?c=NAME.
type centrifuge struct{ nchan }

func (d *centrifuge) Subscribe(b []byte, t Transport, _ []Place, _ []byte) []byte {
	b = append(append(b, subscribePaths[t]...), hostLine...)
	if t == WS {
		b = append(b, wsUpgrade...)
	}
	return append(b, "\r\n"...)
}

// Numbers of the commands, which their answers repeat. Commands are carried out in their
// order, so when the last one is answered the connection has all its channels.
const (
	centrifugeConnect = "1"
	centrifugeChannel = "2"
	centrifugeLast    = "3"
)

func (d *centrifuge) Join(b []byte, places []Place) []byte {
	var commands []byte
	commands = append(commands, `{"id":`+centrifugeConnect+`,"connect":{}}`...)
	for i, p := range places {
		id := centrifugeChannel
		if i == len(places)-1 {
			id = centrifugeLast
		}
		commands = append(append(append(commands, "\n{\"id\":"...), id...), `,"subscribe":{"channel":"`...)
		commands = append(commands, d.prefix...)
		commands = append(strconv.AppendUint(commands, uint64(p.Channel), 10), `"}}`...)
	}
	return appendClientFrame(b, commands)
}

// appendClientFrame appends a text frame as clients send them. Its mask is 0, which leaves
// the payload as it is.
func appendClientFrame(b, payload []byte) []byte {
	b = append(b, frameText)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// Messages: a frame has one or more objects, a line each.
func (d *centrifuge) Messages(_ Transport, _ bool, _ Contents, piece []byte, each func(Message) error) error {
	for len(piece) > 0 {
		line, rest, _ := bytes.Cut(piece, []byte("\n"))
		piece = rest
		m, ok := d.message(line)
		if !ok {
			return fmt.Errorf("%w: %.200q", errMessage, line)
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

// message reads one object: a push, a ping, or the answer to a command.
func (d *centrifuge) message(b []byte) (m Message, ok bool) {
	if string(b) == "{}" { // it wants no answer: bench/compare/centrifuge waits for none
		return Message{Kind: KindNoop}, true
	}
	if id, ok := after(b, `{"id":`); ok {
		id, answer, _ := bytes.Cut(id, []byte(","))
		switch {
		case bytes.HasPrefix(answer, []byte(`"error":`)):
			return Message{Kind: KindRefused, Content: answer}, true
		case string(id) == centrifugeLast:
			return Message{Kind: KindJoined}, true
		}
		return Message{Kind: KindAnswer}, true
	}
	if b, ok = after(b, `{"push":{"channel":"`+d.prefix); !ok {
		return m, false
	}
	if m.Channel, b, ok = leadingUint32(b); !ok {
		return m, false
	}
	if b, ok = after(b, `","pub":{"data":"`); !ok {
		return m, false
	}
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return m, false
	}
	m.Content = b[:end]
	if b, ok = after(b[end:], `","offset":`); !ok {
		return m, false
	}
	if m.Seq, b, ok = leadingUint32(b); !ok {
		return m, false
	}
	if epoch, has := after(b, `,"epoch":"`); has { // where it has changed: in the first message
		b = bytes.TrimLeft(epoch, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		b, ok = after(b, `"`)
	}
	return m, ok && string(b) == "}}}"
}
