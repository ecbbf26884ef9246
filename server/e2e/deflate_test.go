package e2e

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
)

// reserved1 is the bit of a frame's first byte that says that the message is compressed
// (RFC 7692 section 6).
const reserved1 = 0x40

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

// deflatingServer compresses for WebSockets.
func deflatingServer(t *testing.T) *testServer {
	return startServer(t, func(c *config.Config) { c.Front.WebSocketCompression = true })
}

// message reads a text message and says whether it came compressed.
func (w *socket) message() (text string, compressed bool) {
	w.t.Helper()
	first, payload, err := w.Frame()
	if err != nil || first&^reserved1 != servertest.FrameFin|servertest.FrameText {
		w.t.Fatalf("a frame that begins with %#x: %.100q, %v", first, payload, err)
	}
	if first&reserved1 == 0 {
		return payload, false
	}
	r := flate.NewReader(io.MultiReader(strings.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatalf("inflating %d bytes: %v", len(payload), err)
	}
	return string(b), true
}

// TestCompression: with an agreed permessage-deflate large messages come compressed, by
// whatever way they come; small ones, and those of others, do not.
func TestCompression(t *testing.T) {
	t.Parallel()
	s := deflatingServer(t)
	large, small := strings.Repeat("icomet ", 200), strings.Repeat("x", 100)
	s.push("a", small)
	s.push("a", strings.ReplaceAll(large, " ", "+"))
	for _, path := range []string{"/ws?cname=a&seq=1", "/ws?cname=a&seq=1&cname=b&seq=1", "/ws"} {
		w := s.socket(path, offer)
		if !strings.Contains(w.answer, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover") {
			t.Fatalf("%s: %s", path, w.answer)
		}
		plain := s.socket(path)
		if strings.Contains(plain.answer, "Extensions") {
			t.Errorf("%s: an extension that was not offered: %s", path, plain.answer)
		}
		for _, c := range []*socket{w, plain} {
			if path == "/ws" {
				c.say(`{"type":"subscribe","cname":"a","seq":1}`)
				if text, _ := c.message(); !strings.Contains(text, "position") {
					t.Fatal(text)
				}
			}
			for _, want := range []string{small, large} {
				text, compressed := c.message()
				if !strings.Contains(text, want) || compressed != (c == w && len(want) > 512) {
					t.Errorf("%s: %.200q, compressed %v", path, text, compressed)
				}
			}
		}
		s.push("a", "live"+strings.ReplaceAll(large, " ", "+"))
		for _, c := range []*socket{w, plain} {
			if text, compressed := c.message(); !strings.Contains(text, "live"+large) || compressed != (c == w) {
				t.Errorf("%s: %.200q, compressed %v", path, text, compressed)
			}
			c.Close()
		}
		s.waitSubscribers("a", 0)
		s.call("/clear?cname=a")
		s.call("/close?cname=a")
		s.push("a", small)
		s.push("a", strings.ReplaceAll(large, " ", "+"))
	}
	checkFor(t, patience, s.checkIdle)
}

// TestCompressedCommands: a client may compress what it sends, up to the limit that holds for
// what is not compressed.
func TestCompressedCommands(t *testing.T) {
	t.Parallel()
	s := deflatingServer(t)
	deflated := func(text string) string {
		var b bytes.Buffer
		fw, _ := flate.NewWriter(&b, 9)
		_, _ = io.WriteString(fw, text)
		_ = fw.Flush()
		return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
	}
	first := byte(servertest.FrameFin | servertest.FrameText | reserved1)
	w := s.socket("/ws", offer)
	for range 3 { // no context is taken over
		w.raw(servertest.AppendFrame(nil, first, deflated(`{"type":"ping"}`)))
		w.hear(`{"type":"pong"}`)
	}
	command := deflated(`{"type":"subscribe","cname":"a"}`)
	w.raw(servertest.AppendFrame(servertest.AppendFrame(nil, first&^servertest.FrameFin, command[:5]),
		servertest.FrameFin|servertest.FrameContinuation, command[5:]))
	w.hear(`"type":"position","cname":"a"`)
	for name, tc := range map[string]struct {
		payload string
		code    int
	}{
		"a bomb":      {deflated(strings.Repeat(" ", 10<<20)), 1009},
		"not deflate": {"\xff\xff\xff\xff", 1007},
		"not UTF-8":   {deflated("\xff\xfe"), 1007},
	} {
		bad := s.socket("/ws?cname=a", offer)
		bad.hear("next_seq")
		bad.raw(servertest.AppendFrame(nil, first, tc.payload))
		_, err := bad.Text()
		var end *servertest.CloseError
		if !errors.As(err, &end) || end.Code != tc.code {
			t.Errorf("%s: %v, want %d", name, err, tc.code)
		}
	}
	off := startServer(t, nil)
	plain := off.socket("/ws", offer)
	if strings.Contains(plain.answer, "Extensions") {
		t.Errorf("agreed without front.websocket_compression: %s", plain.answer)
	}
	plain.raw(servertest.AppendFrame(nil, first, deflated(`{"type":"ping"}`)))
	plain.hearClose(1002)
}

// TestManySubscribeCommands: one WebSocket subscribes to as many channels as it may, and gets
// what comes for each; a client that subscribes without pause is stopped at the rate.
func TestManySubscribeCommands(t *testing.T) {
	t.Parallel()
	const n = 10_000
	s := startServer(t, func(c *config.Config) {
		c.Limits.Commands, c.Limits.ChannelsPerConnection = 10_000, n
		c.Front.MaxChannels = 2 * n
	})
	w := s.socket("/ws")
	heard := make(chan error, 1)
	go func() {
		for i := range n {
			text, err := w.Text()
			if want := fmt.Sprintf(`{"type":"position","cname":"c%d","seq":1,`, i); err != nil || !strings.HasPrefix(text, want) {
				heard <- fmt.Errorf("heard %q, %v; want %s", text, err, want)
				return
			}
		}
		heard <- nil
	}()
	var commands []byte
	for i := range n {
		commands = servertest.AppendFrame(commands, servertest.FrameFin|servertest.FrameText, fmt.Sprintf(`{"type":"subscribe","cname":"c%d","seq":1}`, i))
	}
	w.raw(commands)
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	w.say(`{"type":"subscribe","cname":"more"}`)
	w.hear(`{"type":"400","cname":"more"`)
	s.call("/broadcast?content=all")
	got := make(map[string]bool)
	for len(got) < n {
		text, err := w.Text()
		if strings.HasPrefix(text, `{"type":"next_seq"`) { // behind each broadcast
			continue
		}
		_, rest, _ := strings.Cut(text, `"cname":"`)
		name, _, _ := strings.Cut(rest, `"`)
		if err != nil || !strings.Contains(text, `"type":"broadcast"`) || got[name] {
			t.Fatalf("%q, %v", text, err)
		}
		got[name] = true
	}
	w.Close()
	checkFor(t, patience, s.checkIdle)
	limited := startServer(t, nil)
	w = limited.socket("/ws")
	_, _ = w.Write(commands)
	var err error
	subscribed := 0
	for ; err == nil; subscribed++ {
		_, err = w.Text()
	}
	var end *servertest.CloseError
	if !errors.As(err, &end) || end.Code != 1008 || subscribed < 100 {
		t.Errorf("%d commands were carried out, then %v", subscribed-1, err)
	}
	checkFor(t, patience, limited.checkIdle)
}
