package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
)

// socket is a WebSocket.
type socket struct {
	*client
	answer string // to the handshake
}

func (s *testServer) socket(path string, fields ...string) *socket {
	s.t.Helper()
	w := &socket{client: dial(s.t, s.front)}
	var err error
	if w.answer, err = w.Upgrade(path, strings.Join(fields, "")); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// say sends a text message.
func (w *socket) say(format string, args ...any) {
	w.t.Helper()
	if err := w.SendFrame(servertest.FrameText, fmt.Sprintf(format, args...)); err != nil {
		w.t.Fatal(err)
	}
}

// raw sends bytes.
func (w *socket) raw(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// hear reads text messages; each has to contain what is wanted.
func (w *socket) hear(want ...string) {
	w.t.Helper()
	for _, part := range want {
		text, err := w.Text()
		if err != nil || !strings.Contains(text, part) {
			w.t.Fatalf("heard %q, %v; want %q", text, err, part)
		}
	}
}

// hearClose wants a close frame, and then the end of the connection when this side has
// answered.
func (w *socket) hearClose(code int) {
	w.t.Helper()
	text, err := w.Text()
	var end *servertest.CloseError
	if !errors.As(err, &end) || end.Code != code {
		w.t.Fatalf("heard %q, %v; want a close frame with %d", text, err, code)
	}
	_ = w.SendFrame(servertest.FrameClose, string([]byte{byte(code >> 8), byte(code)}))
	w.expectEnd()
}

// TestHandshake: what is accepted, what is refused, and how the connection goes on.
func TestHandshake(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) {
		c.Front.AllowOrigins = []string{"https://good.example"}
	})
	const key, version = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n"
	const upgrade, connection = "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
	const all = upgrade + connection + key + version
	for _, tc := range []struct {
		name, line, fields string
		status             int
		want               string
	}{
		{"plain", "", all, 101, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"},
		{"any case", "", "upgrade: WEBSOCKET\r\nCONNECTION: upGRade\r\n" + key + version, 101, "Upgrade: websocket\r\n"},
		{"lists", "", "Upgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n" + key + version, 101, "Connection: Upgrade\r\n"},
		{"several lines", "", "Connection: keep-alive\r\n" + all, 101, ""},
		{"protocol", "", all + "Sec-WebSocket-Protocol: icomet\r\n", 101, "Sec-WebSocket-Protocol: icomet\r\n"},
		{"protocols", "", all + "Sec-WebSocket-Protocol: chat, icomet\r\n", 101, "Sec-WebSocket-Protocol: icomet\r\n"},
		{"own origin", "", all + "Origin: https://test\r\n", 101, ""},
		{"listed origin", "", all + "Origin: https://good.example\r\n", 101, ""},
		{"no channel", "GET /ws HTTP/1.1", all, 101, ""},
		{"another's origin", "", all + "Origin: https://bad.example\r\n", 403, "origin"},
		{"origin null", "", all + "Origin: null\r\n", 403, "origin"},
		{"origin that begins alike", "", all + "Origin: https://test.bad.example\r\n", 403, "origin"},
		{"origin that ends alike", "", all + "Origin: https://bad.example/test\r\n", 403, "origin"},
		{"no upgrade", "", connection + key + version, 400, "Upgrade"},
		{"no connection", "", upgrade + key + version, 400, "Connection"},
		{"other upgrade", "", "Upgrade: websockets\r\n" + connection + key + version, 400, "Upgrade"},
		{"no key", "", upgrade + connection + version, 400, "Key"},
		{"short key", "", upgrade + connection + version + "Sec-WebSocket-Key: dGhlIHNhbXBs\r\n", 400, "Key"},
		{"two keys", "", all + key, 400, "Key"},
		{"no version", "", upgrade + connection + key, 426, "Sec-WebSocket-Version: 13\r\n"},
		{"old version", "", upgrade + connection + key + "Sec-WebSocket-Version: 8\r\n", 426, "Sec-WebSocket-Version: 13\r\n"},
		{"HTTP/1.0", "GET /ws?cname=a HTTP/1.0", all, 400, "HTTP/1.1"},
		{"a page", "", "", 400, "Upgrade"},
		{"POST", "POST /ws?cname=a HTTP/1.1", all + "Content-Length: 0\r\n", 405, "Allow: GET"},
		{"HEAD", "HEAD /ws?cname=a HTTP/1.1", all, 405, "Allow: GET"},
		{"bad seq", "GET /ws?cname=a&seq=x HTTP/1.1", all, 400, "seq"},
		{"bad name", "GET /ws?cname= HTTP/1.1", all, 400, "cname"},
		{"twice", "GET /ws?cname=a&cname=a HTTP/1.1", all, 400, "twice"},
	} {
		line := tc.line
		if line == "" {
			line = "GET /ws?cname=a HTTP/1.1"
		}
		c := dial(t, s.front)
		c.sendf("%s\r\nHost: test\r\n%s\r\n", line, tc.fields)
		head := c.head()
		if tc.status != 101 && !strings.HasPrefix(line, "HEAD") {
			var n int
			_, rest, _ := strings.Cut(head, "Content-Length: ")
			_, _ = fmt.Sscan(rest, &n)
			body := make([]byte, n)
			if _, err := io.ReadFull(c.R, body); err != nil {
				t.Fatal(err)
			}
			head += string(body)
		}
		if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", tc.status)) || !strings.Contains(head, tc.want) {
			t.Errorf("%s: %s, want %d with %q", tc.name, head, tc.status, tc.want)
		}
		switch {
		case tc.status != 101 && !strings.Contains(line, "1.0"):
			c.get("/ping?cb=on").expectAnswers("on(") // the connection is as it was
		case tc.status == 101:
			for _, field := range []string{"Content-Length", "Transfer-Encoding", "Sec-WebSocket-Extensions"} {
				if strings.Contains(head, field) {
					t.Errorf("%s: %s", tc.name, head)
				}
			}
			if strings.Contains(head, "Sec-WebSocket-Protocol") != strings.Contains(tc.fields, "Protocol") {
				t.Errorf("%s: %s", tc.name, head)
			}
		}
		c.Close()
	}
	checkFor(t, patience, s.checkIdle)
}

// TestCommands: subscribe, unsubscribe and ping, and what is wrong with others.
// sign returns the token of a channel.
// TestCommandsOfOneChannel: a WebSocket with the channel of its URL takes commands too,
// and each end of a channel leaves it as it should.
// TestSocketIsRefused: a refusal of the only channel comes in a frame, before 1000.
// TestFramesBehindTheHandshake: what a client sends without waiting for the answer, in
// one segment, byte by byte, and in fragments, is taken as if it had waited.
func TestFramesBehindTheHandshake(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Limits.Commands = 1000 })
	s.push("a", "1")
	for _, path := range []string{"/ws", "/ws?cname=x", "/ws?cname=x&cname=y"} {
		b := []byte("GET " + path + " HTTP/1.1\r\nHost: test\r\n" + servertest.WebSocketFields + "\r\n")
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FrameText, `{"type":"subscribe","cname":"a","seq":1}`)
		b = servertest.AppendFrame(b, servertest.FrameText, `{"type":"subscribe",`)
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FramePing, "within")
		b = servertest.AppendFrame(b, servertest.FrameContinuation, ``)
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FramePong, "unasked")
		b = servertest.AppendFrame(b, servertest.FrameContinuation, `"cname":"`+"\xe2\x82")
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FrameContinuation, "\xac\"}")
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FrameText, `{"type":"ping"}`)
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FrameClose, "\x0f\xa0by the application")
		for _, piece := range []int{len(b), 1, 7} {
			w := &socket{client: dial(t, s.front)}
			for at := 0; at < len(b); at += piece {
				w.raw(b[at:min(at+piece, len(b))])
			}
			if head := w.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
				t.Fatal(head)
			}
			for _, name := range strings.Split(path, "=")[1:] {
				w.hear(fmt.Sprintf(`"type":"next_seq","cname":"%s"`, name[:1]))
			}
			w.hear(`"type":"position","cname":"a","seq":1`, `"cname":"a","seq":1,"content":"1"`)
			if first, payload, err := w.Frame(); first != servertest.FrameFin|servertest.FramePong || payload != "within" {
				t.Fatalf("%#x %q %v, want a pong", first, payload, err)
			}
			w.hear(`"type":"position","cname":"€"`, `{"type":"pong"}`)
			w.hearClose(4000)
		}
	}
	checkFor(t, patience, s.checkIdle)
}

// TestSocketBreaksRules: each rule that a client breaks has its close code, before, in and
// behind a bundle.
// TestCommandsWithinTheRate: a burst is taken, and time gives the rate back.
// TestSocketHalfClosed: a client that has said its last word is gone.
// TestSocketDrain: 1001, with what was published before.
func TestSocketDrain(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/ws", "/ws?cname=a&seq=1", "/ws?cname=a&seq=1&cname=b&seq=1", "/ws?cname=a&seq=1&raw=1"} {
		s := startServer(t, nil)
		s.push("a", "before")
		w := s.socket(path)
		if path != "/ws" {
			w.hear("before")
		}
		s.Shutdown()
		w.hearClose(1001)
	}
}

// TestSocketRaw: the content alone, a ping as heartbeat, the end of the channel as 1000.
func TestSocketRaw(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.PollingTimeout = 1; c.Front.Auth = "token" })
	token := s.sign("a")
	s.push("a", "a%22%0Aline")
	w := s.socket("/ws?cname=a&seq=1&raw=1&token=" + token)
	w.hear("a\"\nline")
	if first, payload, err := w.Frame(); first != servertest.FrameFin|servertest.FramePing || payload != "" {
		t.Fatalf("%#x %q %v, want a ping", first, payload, err)
	}
	w.say(`{"type":"ping"}`) // cannot be answered
	s.call("/broadcast?content=to+all")
	if text, err := w.Text(); text != "to all" {
		t.Fatalf("%q, %v", text, err)
	}
	s.call("/end?cname=a&content=")
	if text, err := w.Text(); text != "" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	w.hearClose(1000)
	for path, want := range map[string]string{
		"/ws?cname=a&raw=1":                        "HTTP/1.1 401 ",
		"/ws?cname=none&raw=1":                     "HTTP/1.1 401 ",
		"/ws?cname=a&seq=4&raw=1&token=" + token:   "HTTP/1.1 204 ",
		"/ws?cname=a&raw=1&cname=b&token=" + token: "HTTP/1.1 400 ",
		"/ws?raw=1":                          "HTTP/1.1 400 ",
		"/ws?cname=a&raw=yes&token=" + token: "HTTP/1.1 400 ",
	} {
		if head, _ := dial(t, s.front).Upgrade(path, ""); !strings.HasPrefix(head, want) {
			t.Errorf("%s: %s, want %s", path, head, want)
		}
	}
}

// TestSocketSlow: one that reads nothing is cut, without a close frame, and others are not
// slowed; one with the queue empty takes a message of any size.
// TestPingsNeverRead: who sends pings and takes no pongs is cut like another slow reader.
