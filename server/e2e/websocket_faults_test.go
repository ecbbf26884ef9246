package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/reactor"
	"icomet/server/servertest"
)

func TestSocketIsRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.Auth = "token" })
	for _, path := range []string{"/ws?cname=a", "/ws?cname=a&cname=b"} {
		w := s.socket(path)
		w.hear(`{"type":"401","cname":"a","seq":0,"content":"Token error"}`)
		if strings.Contains(path, "b") {
			w.hear(`{"type":"401","cname":"b"`)
		}
		w.hearClose(1000)
	}
	w := s.socket("/ws")
	w.say(`{"type":"subscribe","cname":"a"}`)
	w.hear(`{"type":"401","cname":"a","seq":0,"content":"Token error"}`)
	w.say(`{"type":"ping"}`)
	w.hear("pong")
	w.Close()
	checkFor(t, patience, s.checkIdle)
}

func TestSocketBreaksRules(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Limits.RequestLine = 1000; c.Limits.Commands = 5 })
	frame := servertest.AppendFrame
	const fin, text, cont, ping = servertest.FrameFin, servertest.FrameText, servertest.FrameContinuation, servertest.FramePing
	many := func(n int, first byte, payload string) (b []byte) {
		for range n {
			b = frame(b, first, payload)
		}
		return b
	}
	for _, tc := range []struct {
		name string
		send []byte
		code int
	}{
		{"not masked", []byte{fin | text, 2, '{', '}'}, 1002},
		{"reserved bit", frame(nil, fin|text|0x40, "{}"), 1002},
		{"reserved opcode", frame(nil, fin|3, "{}"), 1002},
		{"reserved control", frame(nil, fin|0xb, ""), 1002},
		{"part of a ping", frame(nil, ping, ""), 1002},
		{"long ping", frame(nil, fin|ping, strings.Repeat("x", 126)), 1002},
		{"no start", frame(nil, fin|cont, "{}"), 1002},
		{"no end", frame(frame(nil, text, "{"), fin|text, "{}"), 1002},
		{"half a code", frame(nil, fin|servertest.FrameClose, "\x03"), 1002},
		{"bad code", frame(nil, fin|servertest.FrameClose, "\x03\xed"), 1002},
		{"long form", []byte{fin | text, 0x80 | 126, 0, 2, 0, 0, 0, 0, '{', '}'}, 1002},
		{"binary", frame(nil, fin|servertest.FrameBinary, "{}"), 1003},
		{"text", frame(nil, fin|text, "\xff"), 1007},
		{"cut text", frame(nil, fin|text, "\xe2\x82"), 1007},
		{"reason", frame(nil, fin|servertest.FrameClose, "\x03\xe8\xff"), 1007},
		{"large", frame(nil, fin|text, strings.Repeat(" ", 1001)), 1009},
		{"large by its head", []byte{fin | text, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, 1009},
		{"large in fragments", frame(frame(nil, text, strings.Repeat(" ", 600)), fin|cont, strings.Repeat(" ", 600)), 1009},
		{"too many commands", many(200, fin|text, `{"type":"ping"}`), 1008},
		{"too many pings", many(200, fin|ping, ""), 1008},
		{"too many pongs", many(200, fin|servertest.FramePong, ""), 1008},
		{"goodbye", frame(nil, fin|servertest.FrameClose, "\x03\xe8"), 1000},
		{"away", frame(nil, fin|servertest.FrameClose, "\x03\xe9"), 1001},
		{"without a code", frame(nil, fin|servertest.FrameClose, ""), 1005},
	} {
		for _, path := range []string{"/ws", "/ws?cname=a&seq=1", "/ws?cname=a&cname=b&seq=1"} {
			w := s.socket(path)
			if strings.HasSuffix(path, "b&seq=1") {
				w.hear(`"next_seq","cname":"a"`)
			}
			w.raw(tc.send)
			var text string
			var err error
			for text, err = w.Text(); text == `{"type":"pong"}`; text, err = w.Text() {
			}
			var end *servertest.CloseError
			for err != nil && strings.Contains(err.Error(), "0x8a") { // pongs
				_, err = w.Text()
			}
			if !errors.As(err, &end) || end.Code != tc.code {
				t.Fatalf("%s, %s: heard %q, %v; want %d", path, tc.name, text, err, tc.code)
			}
			if broken := tc.code != 1000 && tc.code != 1001 && tc.code != 1005; broken != (end.Reason != "") {
				t.Errorf("%s: the reason is %q", tc.name, end.Reason)
			}
			w.expectEnd()
		}
	}
	checkFor(t, patience, s.checkIdle)
}

func TestSocketHalfClosed(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, path := range []string{"/ws", "/ws?cname=a&seq=1", "/ws?cname=a&cname=b&seq=1"} {
		w := s.socket(path)
		_ = w.CloseWrite()
		_, _ = io.Copy(io.Discard, w.R)
		reset := s.socket(path)
		_ = reset.SetLinger(0)
		reset.Close()
	}
	checkFor(t, patience, s.checkIdle)
}

func TestSocketSlow(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, nil)
	for _, path := range []string{"/ws?cname=a&seq=1", "/ws?cname=a&seq=1&cname=b&seq=1"} {
		c, err := servertest.DialNarrow(s.front, 4096)
		slow := &socket{client: newClient(t, c, err)}
		if _, err := slow.Upgrade(path, ""); err != nil {
			t.Fatal(err)
		}
		s.waitSubscribers("a", 1)
		good := s.socket("/ws?cname=b&cname=a")
		good.hear("next_seq", "next_seq")
		before := s.closedBy(reactor.ReasonSlowConsumer)
		for i := 0; s.closedBy(reactor.ReasonSlowConsumer) == before; i++ {
			publishLarge(s, "a", i, 20_000)
			good.hear(fmt.Sprintf("%08d\"", i))
		}
		b, _ := io.ReadAll(slow.R)
		if strings.Contains(string(b[max(0, len(b)-4):]), "\x88\x02") {
			t.Errorf("%s: a close frame behind a cut message", path)
		}
		publishLarge(s, "b", 1, 900_000)
		good.hear("00000001")
		good.Close()
		s.call("/close?cname=a")
		checkFor(t, patience, s.checkIdle)
	}
}

func TestPingsNeverRead(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, func(c *config.Config) { c.Limits.Commands = 10_000 })
	c, err := servertest.DialNarrow(s.front, 4096)
	w := &socket{client: newClient(t, c, err)}
	if _, err := w.Upgrade("/ws", ""); err != nil {
		t.Fatal(err)
	}
	pings := servertest.AppendFrame(nil, servertest.FrameFin|servertest.FramePing, strings.Repeat("x", 125))
	for s.closedBy(reactor.ReasonSlowConsumer) == 0 {
		if _, err := w.Write(pings); err != nil {
			break
		}
	}
	checkFor(t, patience, s.checkIdle)
	if s.closedBy(reactor.ReasonSlowConsumer) != 1 {
		t.Error("it was not cut as a slow reader")
	}
}
