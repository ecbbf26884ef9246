package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/coder/websocket"

	"icomet/server/servertest"
)

// webSocketTrial is a client at a server.
type webSocketTrial struct {
	*webSocket
	s      *servertest.Server
	cannot string
}

// channel is the name of a channel that no other client has.
func (w *webSocketTrial) channel(name string) string { return w.name + "-" + name }

// url is where the channels are subscribed, from their first message.
func (w *webSocketTrial) url(names ...string) string {
	url := "ws" + strings.TrimPrefix(w.s.Front, "http") + "/ws"
	for i, name := range names {
		url += map[bool]string{true: "?", false: "&"}[i == 0] + "cname=" + w.channel(name) + "&seq=1"
	}
	return url
}

func (w *webSocketTrial) command(kind, cname string) {
	w.t.Helper()
	w.do("send", fmt.Sprintf(`{"type":%q,"cname":%q,"seq":1}`, kind, cname))
}

// subscriptions: by URL and by command, what was stored and what comes, pings, a large
// message, and a close by the client.
func (w *webSocketTrial) subscriptions(compression bool) {
	w.t.Helper()
	a, b, c := w.channel("a"), w.channel("b"), w.channel("c")
	for _, message := range [][2]string{{a, "1"}, {a, "2"}, {b, "1"}, {c, "1"}} {
		w.s.Push(message[0], message[1])
	}
	w.do("open", w.url("a", "b"), map[string]any{"protocols": []string{"icomet"}, "compress": true, "origin": "https://good.example"})
	w.want("open icomet " + map[bool]string{true: "permessage-deflate", false: "-"}[compression])
	w.wantEach(map[string][]string{a: {dataLine(a, 1, "1"), dataLine(a, 2, "2")}, b: {dataLine(b, 1, "1")}})
	w.s.Push(a, "3")
	w.want(dataLine(a, 3, "3"))
	w.s.Push(b, "2")
	w.want(dataLine(b, 2, "2"))

	w.do("send", `{"type":"ping"}`)
	w.want(`message {"type":"pong"}`)
	w.command("subscribe", c)
	w.want(fmt.Sprintf(`message {"type":"position","cname":%q,"seq":1,`, c), dataLine(c, 1, "1"))
	w.s.Push(c, "2")
	w.want(dataLine(c, 2, "2"))
	w.command("unsubscribe", c)
	w.want(fmt.Sprintf(`message {"type":"unsubscribed","cname":%q,"seq":3,"content":""}`, c))
	w.s.Push(c, "3")
	w.s.Push(a, "4")
	w.want(dataLine(a, 4, "4"))
	w.command("unsubscribe", c)
	w.want(fmt.Sprintf(`message {"type":"400","cname":%q,`, c))
	w.do("ping", "are you there?")
	w.want("pong are you there?")

	w.large(b, 3)
	w.do("close", 1000)
	w.want("closed 1000")
	w.s.WaitSubscribers(a, 0)

	w.do("open", w.url(), map[string]any{"compress": false}) // of which undici knows nothing
	w.want("open -")
	w.command("subscribe", b)
	w.want(fmt.Sprintf(`message {"type":"position","cname":%q,"seq":1,`, b), dataLine(b, 1, "1"), dataLine(b, 2, "2"), "large")
	w.large(b, 4)
	w.do("close", 4000)
	w.want("closed 4000")
	w.s.WaitSubscribers(b, 0)
}

// large publishes nearly as much as a POST may have, and nothing that compresses well.
func (w *webSocketTrial) large(cname string, seq int) {
	w.t.Helper()
	random := make([]byte, 700_000)
	rand.NewChaCha8([32]byte{byte(seq)}).Read(random)
	content := base64.RawURLEncoding.EncodeToString(random)
	w.s.Push(cname, content)
	text := strings.TrimPrefix(dataLine(cname, seq, content), "message ")
	w.want(fmt.Sprintf("large %d %x", len(text), sha1.Sum([]byte(text))))
}

// ends: with the last channel the connection ends, and only then; contents alone.
func (w *webSocketTrial) ends() {
	w.t.Helper()
	a, b, raw := w.channel("a"), w.channel("b"), w.channel("raw")
	w.do("open", w.url("new", "other"), map[string]any{})
	w.want("open -")
	w.s.WaitSubscribers(w.channel("other"), 1)
	w.s.Call("/close", "cname", w.channel("new"))
	w.want(fmt.Sprintf(`message {"type":"close","cname":%q,`, w.channel("new")))
	w.s.Call("/end", "cname", w.channel("other"), "content", "last")
	w.want(dataLine(w.channel("other"), 1, "last"), fmt.Sprintf(`message {"type":"end","cname":%q,`, w.channel("other")), "closed 1000")

	w.s.Push(raw, "first")
	w.do("open", w.url("raw")+"&raw=1", map[string]any{})
	w.want("open -", "message first")
	if w.name == "ws" {
		w.want("pinged", "pinged") // the others do not tell of it
	}
	w.s.Call("/end", "cname", raw, "content", "last")
	for line := w.next("the last message"); line != "message last"; line = w.next("the last message") {
		if line != "pinged" {
			w.t.Fatalf("%s: %q, want the last message", w.name, line)
		}
	}
	w.want("closed 1000")
	w.s.Call("/close", "cname", a)
	w.s.Call("/close", "cname", b)
}

// faults: each is told by its code, or its status before there is a WebSocket.
func (w *webSocketTrial) faults() {
	w.t.Helper()
	w.do("open", w.url("a"), map[string]any{"origin": "https://bad.example"})
	if line := w.next("a refusal"); line != "refused 403" && (w.name != "undici" || line != "refused") {
		w.t.Fatalf("%s: of another origin: %q", w.name, line)
	}
	for _, fault := range []struct {
		what, value string
		times, code int
	}{
		{"binary", "x", 1, 1003},
		{"send", strings.Repeat("x", 9000), 1, 1009}, // limits.request_line
		{"bytes", base64.StdEncoding.EncodeToString([]byte("\xff")), 1, 1007},
		{"unmasked", `{"type":"ping"}`, 1, 1002},
		{"send", `{"type":"unsubscribe","cname":"none"}`, 200, 1008},
	} {
		if strings.Contains(w.cannot, fault.what) {
			continue
		}
		for _, compress := range []bool{true, false} {
			w.do("open", w.url("a"), map[string]any{"compress": compress})
			w.want("open -")
			for range fault.times {
				w.do(fault.what, fault.value)
			}
			line := w.next("closed")
			for strings.HasPrefix(line, `message {"type":"400"`) {
				line = w.next("closed")
			}
			if want := fmt.Sprintf("closed %d ", fault.code); !strings.HasPrefix(line, want) {
				w.t.Fatalf("%s: after %s of %.50q: %q, want %q\n%s", w.name, fault.what, fault.value, line, want, w.notes)
			}
		}
	}
}

// coder is github.com/coder/websocket as a webSocket.
type coder struct {
	ctx     context.Context
	mu      sync.Mutex
	out     io.Writer
	conn    *websocket.Conn
	closed  chan string // what Close has found of conn
	readers sync.WaitGroup
}

// runCoder does what in says until its end.
func runCoder(ctx context.Context, in io.Reader, out io.Writer, notes io.Writer) {
	c := &coder{ctx: ctx, out: out}
	defer c.readers.Wait()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var values [3]json.RawMessage
		var what, text string
		var code websocket.StatusCode
		_ = json.Unmarshal(lines.Bytes(), &values)
		_ = json.Unmarshal(values[0], &what)
		_ = json.Unmarshal(values[1], &text)
		_ = json.Unmarshal(values[1], &code)
		var err error
		switch what {
		case "open":
			err = c.open(text, values[2])
		case "send":
			err = c.conn.Write(ctx, websocket.MessageText, []byte(text))
		case "binary":
			err = c.conn.Write(ctx, websocket.MessageBinary, []byte(text))
		case "bytes":
			b, _ := base64.StdEncoding.DecodeString(text)
			err = c.conn.Write(ctx, websocket.MessageText, b)
		case "ping":
			if err = c.conn.Ping(ctx); err == nil { // its contents are its own
				c.tell("pong %s", text)
			}
		case "close":
			if err = c.conn.Close(code, ""); err == nil {
				c.closed <- fmt.Sprint(int(code))
			}
		}
		if err != nil {
			fmt.Fprintln(notes, what, err)
		}
	}
}

func (c *coder) tell(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, format+"\n", args...)
}

func (c *coder) open(url string, text []byte) error {
	var options struct {
		Protocols []string
		Origin    string
		Compress  bool
	}
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	o := websocket.DialOptions{
		Subprotocols: options.Protocols, HTTPHeader: http.Header{},
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: servertest.ClientTLS()}},
	}
	if options.Origin != "" {
		o.HTTPHeader.Set("Origin", options.Origin)
	}
	if options.Compress {
		o.CompressionMode, o.CompressionThreshold = websocket.CompressionNoContextTakeover, 1
	}
	conn, answer, err := websocket.Dial(c.ctx, url, &o)
	if err != nil {
		if answer != nil {
			c.tell("refused %d", answer.StatusCode)
		}
		return err
	}
	extension, _, _ := strings.Cut(answer.Header.Get("Sec-WebSocket-Extensions"), ";")
	c.conn, c.closed = conn, make(chan string, 1)
	conn.SetReadLimit(-1)
	c.tell("open %s %s", cmp.Or(conn.Subprotocol(), "-"), cmp.Or(extension, "-"))
	closed := c.closed
	c.readers.Go(func() { c.read(conn, closed) })
	return nil
}

func (c *coder) read(conn *websocket.Conn, closed <-chan string) {
	for {
		_, data, err := conn.Read(c.ctx)
		var end websocket.CloseError
		switch {
		case errors.As(err, &end):
			c.tell("closed %d %s", end.Code, end.Reason)
			return
		case errors.Is(err, net.ErrClosed): // Close has read the answer, between two Reads
			select {
			case code := <-closed:
				c.tell("closed %s", code)
			case <-c.ctx.Done():
			}
			return
		case err != nil:
			c.tell("closed 1006 %v", err)
			return
		case len(data) > 1000:
			c.tell("large %d %x", len(data), sha1.Sum(data))
		default:
			c.tell("message %s", data)
		}
	}
}
