package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/reactor"
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
func TestCommands(t *testing.T) {
	t.Parallel()
	class := config.ChannelClass{Match: "p*", BufferSize: 10, Timeout: 60, MaxSubscribers: 1, Auth: "token"}
	s := startServer(t, func(c *config.Config) {
		c.Channels = []config.ChannelClass{class}
		c.Limits.ChannelsPerConnection = 3
		c.Limits.Commands = 1000
	})
	a := s.epochOf("a")
	s.push("a", "2")
	token := s.sign("p")
	w := s.socket("/ws")
	for _, tc := range []struct {
		say  string
		hear []string
	}{
		{`{"type":"ping"}`, []string{`{"type":"pong"}`}},
		{`{"type":"subscribe","cname":"a"}`, []string{`{"type":"position","cname":"a","seq":3,"content":"","epoch":"` + a + `","recovered":true,"lost":0}`}},
		{`{"type":"subscribe","cname":"a"}`, []string{`{"type":"400","cname":"a","seq":0,"content":"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`{"type":"unsubscribed","cname":"a","seq":3,"content":""}`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe","cname":"a","seq":1,"epoch":"` + a + `"}`, []string{`"recovered":true`, `"seq":1,"content":"epoch"`, `"seq":2,"content":"2"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`{"type":"unsubscribed","cname":"a","seq":3,`}},
		{` { "cname" : "a" , "seq" : "2", "type":"subscribe", "epoch":"` + a + `","more":"x" } `, []string{`"recovered":true`, `"seq":2,"content":"2"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`unsubscribed`}},
		{`{"type":"subscribe","cname":"a","last":1}`, []string{`"seq":2,"content":"","epoch":"` + a + `","recovered":true`, `"seq":2,"content":"2"`}},
		{`{"type":"subscribe","cname":"p"}`, []string{`{"type":"401","cname":"p","seq":0,"content":"Token error"}`}},
		{`{"type":"subscribe","cname":"p","token":"` + token + `"}`, []string{`"type":"position","cname":"p"`}},
		{`{"type":"subscribe","cname":"\u00e9\"\\"}`, []string{`"type":"position","cname":"é\"\\"`}},
		{`{"type":"subscribe","cname":"one more"}`, []string{`{"type":"400","cname":"one more","seq":0,"content":"too many`}},
		{`{"type":"unsubscribe","cname":"\u00e9\"\\"}`, []string{`"type":"unsubscribed","cname":"é\"\\"`}},
		{`{"type":"subscribe","cname":"one more"}`, []string{`"type":"position","cname":"one more"`}},
		{`{"type":"publish","cname":"a","content":"x"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe"}`, []string{`{"type":"400","cname":"","seq":0,"content":"cname`}},
		{`{"type":"unsubscribe"}`, []string{`{"type":"400","cname":"","seq":0,"content":"cname`}},
		{`{"cname":"a"}`, []string{`"type":"400","cname":"a"`}},
		{`{"type":"subscribe","cname":""}`, []string{`"type":"400","cname":""`}},
		{`{"type":"subscribe","cname":"x\u0000"}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"` + strings.Repeat("x", 256) + `"}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b","seq":"x"}`, []string{`"type":"400","cname":"b","seq":0,"content":"seq`}},
		{`{"type":"subscribe","cname":"b","seq":1.5}`, []string{`"type":"400","cname":"b","seq":0,"content":"seq`}},
		{`{"type":"subscribe","cname":"b","seq":9223372036854775808}`, []string{`"type":"400","cname":"b"`}},
		{`{"type":"subscribe","cname":"b","epoch":"DEADBEEF"}`, []string{`"type":"400","cname":"b","seq":0,"content":"epoch`}},
		{`{"type":"subscribe","cname":"b","last":-1}`, []string{`"type":"400","cname":"b","seq":0,"content":"last`}},
		{``, []string{`"type":"400","cname":""`}},
		{`null`, []string{`"type":"400"`}},
		{`[]`, []string{`"type":"400"`}},
		{`"subscribe"`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b"`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b"}x`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":["b"]}`, []string{`"type":"400"`}},
		{`{"type":"subscribe","cname":"b","seq":null}`, []string{`"type":"400"`}},
		{`{"type":"unsubscribe","cname":"a"}`, []string{`unsubscribed`}},
		{`{"type":"unsubscribe","cname":"p"}`, []string{`unsubscribed`}},
		{`{"type":"unsubscribe","cname":"one more"}`, []string{`unsubscribed`}},
		{`{"type":"ping"}`, []string{`{"type":"pong"}`}}, // without channels it stays
	} {
		w.say("%s", tc.say)
		for _, part := range tc.hear {
			text, err := w.Text()
			if err != nil || !strings.Contains(text, part) {
				t.Fatalf("%s: heard %q, %v; want %q", tc.say, text, err, part)
			}
		}
	}
	if n := s.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
	_ = w.SendFrame(servertest.FrameClose, "\x03\xe8bye")
	w.hearClose(1000)
	checkFor(t, patience, s.checkIdle)
}

// sign returns the token of a channel.
func (s *testServer) sign(cname string) (token string) {
	s.t.Helper()
	answer := s.call("/sign?cname=" + cname)
	_, rest, _ := strings.Cut(answer, `"token":"`)
	if token, _, _ = strings.Cut(rest, `"`); len(token) != 32 {
		s.t.Fatal(answer)
	}
	return token
}

// TestCommandsOfOneChannel: a WebSocket with the channel of its URL takes commands too,
// and each end of a channel leaves it as it should.
func TestCommandsOfOneChannel(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	w := s.socket("/ws?cname=a&seq=1")
	w.say(`{"type":"subscribe","cname":"a"}`)
	w.hear(`"type":"400","cname":"a"`)
	s.push("a", "x")
	w.hear(`"cname":"a","seq":1`)
	w.say(`{"type":"subscribe","cname":"b","seq":1}`)
	w.hear(`"type":"position","cname":"b","seq":1`)
	s.push("b", "y")
	w.hear(`"cname":"b","seq":1`)
	s.call("/close?cname=a")
	w.hear(`"type":"close","cname":"a","seq":2`)
	w.say(`{"type":"subscribe","cname":"a"}`) // closed, not subscribed any more
	w.hear(`"type":"position","cname":"a","seq":1`)
	w.say(`{"type":"unsubscribe","cname":"b"}`)
	w.hear(`"type":"unsubscribed","cname":"b","seq":2`)
	s.call("/end?cname=a&content=z")
	w.hear(`"content":"z"`, `{"type":"end","cname":"a","seq":2,"content":""}`)
	w.hearClose(1000)

	// Every unsubscribe leaves the connection, every refusal too.
	w = s.socket("/ws?cname=b&seq=1&epoch=")
	w.hear(`"recovered":true`, `"content":"y"`)
	w.say(`{"type":"unsubscribe","cname":"b"}`)
	w.hear(`unsubscribed`)
	w.say(`{"type":"subscribe","cname":"a"}`) // has ended
	w.hear(`"type":"position","cname":"a","seq":2`, `"type":"end","cname":"a"`)
	w.hearClose(1000)
	checkFor(t, patience, s.checkIdle)
}

// TestSocketIsRefused: a refusal of the only channel comes in a frame, before 1000.
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

// TestCommandsWithinTheRate: a burst is taken, and time gives the rate back.
func TestCommandsWithinTheRate(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	w := s.socket("/ws")
	for range 100 {
		w.say(`{"type":"ping"}`)
	}
	for range 100 {
		w.hear("pong")
	}
	for range 3 {
		from := time.Since(s.reactor.Started())
		checkFor(t, patience, func() error {
			if time.Since(s.reactor.Started()) < from+11*tickLength {
				return errors.New("not yet")
			}
			return nil
		})
		for range 20 {
			w.say(`{"type":"ping"}`)
			w.hear("pong")
		}
	}
}

// TestSocketHalfClosed: a client that has said its last word is gone.
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

// TestPingsNeverRead: who sends pings and takes no pongs is cut like another slow reader.
func TestPingsNeverRead(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, func(c *config.Config) { c.Limits.Commands = 10_000 })
	c, err := servertest.DialNarrow(s.front, 4096)
	w := &socket{client: newClient(t, c, err)}
	if _, err := w.Upgrade("/ws", ""); err != nil {
		t.Fatal(err)
	}
	pings := servertest.AppendFrame(nil, servertest.FrameFin|servertest.FramePing, strings.Repeat("x", 125))
	for end := time.Now().Add(patience); s.closedBy(reactor.ReasonSlowConsumer) == 0; {
		_ = w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := w.TCPConn.Write(pings)
		var ne net.Error
		if timeout := errors.As(err, &ne) && ne.Timeout(); err != nil && !timeout || time.Now().After(end) {
			break
		}
	}
	checkFor(t, patience, s.checkIdle)
	if s.closedBy(reactor.ReasonSlowConsumer) != 1 {
		t.Error("it was not cut as a slow reader")
	}
}
