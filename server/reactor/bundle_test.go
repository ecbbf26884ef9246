package reactor

import (
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/servertest"
	"icomet/server/wire"
)

// several subscribes to the channels a and b.
func several(t wire.Transport) func(*Conn, *Request) {
	return func(c *Conn, r *Request) {
		list := []Wanted{{Join: channel.Join{Name: []byte("a"), Since: 1}}, {Join: channel.Join{Name: []byte("b"), Since: 1}}}
		if waits, _ := c.JoinAll(list, t, 0); waits {
			style := c.NewPollStyle(r, nil)
			c.Remember(&style)
			return
		}
		c.loop.out.B = c.AppendOpenHead(c.loop.out.B, r, t.Bundle())
		c.BeginBundle(r, list)
	}
}

// TestGatheredIsBounded: what a run gathers for all connections together is bounded, however
// large the messages are and however many connections they are for.
func TestGatheredIsBounded(t *testing.T) {
	t.Parallel()
	h := subscribers()
	for path, transport := range map[string]wire.Transport{
		"/stream": wire.TransportStream, "/sse": wire.TransportSSE, "/iframe": wire.TransportIframe, "/sub": wire.TransportPoll,
	} {
		h[path] = several(transport)
	}
	for _, kind := range []string{"stream", "stream10", "sse", "iframe", "sub"} {
		s := startWith(t, 1, func(set *Settings) { set.OutboundBuffer = 64 << 20 }, h, true)
		const crowd = 10
		for range crowd {
			c := dial(t, s.front)
			version := "1.1"
			if kind == "stream10" {
				version = "1.0"
			}
			c.send("GET /" + strings.TrimSuffix(kind, "10") + " HTTP/" + version + "\r\nHost: test\r\n\r\n")
		}
		s.waitSubscribers("a", crowd)
		s.waitSubscribers("b", crowd)
		for _, size := range []int{100, gatherLimit / 2, 1 << 20} {
			s.onAllLoops(func(l *loop) {
				// Both channels get messages, as in one run of deliverSome.
				for range 4 {
					for _, name := range []string{"a", "b"} {
						ch := l.channelOf(name)
						if ch == nil {
							return // all polls are answered
						}
						m := channel.Message{Seq: l.subs.first(ch).next, Content: strings.Repeat("x", size)}
						b := &batch{ch: ch, msgs: []channel.Message{m}, name: wire.AppendJSON(nil, []byte(name))}
						for at := l.subs.first(ch); at != nil; {
							next := at.subNext
							l.deliver(b, at)
							at = next
						}
					}
				}
				gathered := 0
				for _, c := range l.gathered {
					if c.bundle != nil && c.bundle.out != nil {
						gathered += len(c.bundle.out.B)
					}
				}
				if limit := crowd * gatherLimit; gathered > limit {
					t.Errorf("%s, messages of %d bytes: %d bytes are gathered for %d connections", kind, size, gathered, crowd)
				}
				l.flushGathered()
			})
		}
	}
}

// channelOf is the channel of that name with subscribers on the loop, or nil.
func (l *loop) channelOf(name string) *channel.Channel {
	for i := range l.subs.tables {
		for _, s := range l.subs.tables[i].buckets {
			for ; s != nil; s = s.hashNext {
				if s.ch.Name() == name {
					return s.ch
				}
			}
		}
	}
	return nil
}

// TestFramesAcrossReads: a WebSocket whose reads all end inside a message has time for each
// message, not for all of them together.
func TestFramesAcrossReads(t *testing.T) {
	t.Parallel()
	for _, first := range []byte{servertest.FrameText, servertest.FramePing} {
		s := start(t, 1, func(set *Settings) { set.Commands = 1000 })
		c := dial(t, s.front)
		c.send("GET /ws?cname=a HTTP/1.1\r\nHost: test\r\n" + servertest.WebSocketFields + "\r\n")
		s.waitSubscribers("a", 1)
		frame := servertest.AppendFrame(nil, servertest.FrameFin|first, "ping")
		const cut = 3
		s.onAllLoops(func(l *loop) {
			conn := l.conns()[0]
			half := l.reactor.settings.Load().ticks.request / 2
			conn.readFrames(frame[:cut])
			for range 5 {
				l.now += half
				conn.readFrames(append(append([]byte(nil), frame[cut:]...), frame[:cut]...))
			}
			if conn.state != stateSubscribed {
				t.Errorf("frame %d: closed, though each message was complete in time", first)
				return
			}
			for range 3 { // and this one is not
				l.now += half
				conn.readFrames(nil)
			}
			if conn.state == stateSubscribed {
				t.Errorf("frame %d: a message that does not end is waited for", first)
			}
		})
	}
}
