package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"icomet/server/servertest"
)

// tunnel is a WebSocket that comes through a proxy.
type tunnel struct {
	t    *testing.T
	conn *websocket.Conn
}

// dialSocket opens a WebSocket with the client of Go. A refusal is an error, with its status.
func dialSocket(ctx context.Context, client *http.Client, url, origin string) (*websocket.Conn, int, error) {
	options := &websocket.DialOptions{HTTPClient: client, CompressionMode: websocket.CompressionNoContextTakeover}
	if origin != "" {
		options.HTTPHeader = http.Header{"Origin": {origin}}
	}
	conn, answer, err := websocket.Dial(ctx, url, options)
	if err != nil {
		status := 0
		if answer != nil {
			status = answer.StatusCode
		}
		return nil, status, err
	}
	conn.SetReadLimit(-1)
	return conn, answer.StatusCode, nil
}

func (b *behind) socket(ctx context.Context, from, query, origin string) *tunnel {
	b.t.Helper()
	conn, _, err := dialSocket(ctx, b.client(from, false), b.url+"/ws?"+query, origin)
	if err != nil {
		b.t.Fatal(err)
	}
	return &tunnel{b.t, conn}
}

// hear reads messages; each has to contain what is wanted.
func (w *tunnel) hear(ctx context.Context, want ...string) {
	w.t.Helper()
	for _, part := range want {
		if _, text, err := w.conn.Read(ctx); err != nil || !strings.Contains(string(text), part) {
			w.t.Fatalf("heard %.300q, %v; want %q", text, err, part)
		}
	}
}

// deadline is a context for what takes no longer than tests wait.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*startLimit)
	t.Cleanup(cancel)
	return ctx
}

// TestProxiesWebSocket runs the example files with the real proxies, which break off what is
// silent for eight seconds, and with heartbeats of a second.
func TestProxiesWebSocket(t *testing.T) {
	t.Parallel()
	for _, proxy := range exampleProxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			config, ctx := writeConfig(t), deadline(t)
			lines := []string{
				fmt.Sprintf("front.listen = %q", ownAddress(t)), fmt.Sprintf("admin.listen = %q", ownAddress(t)),
				`front.trusted_proxies = ["127.0.0.1"]`, "front.allow_origins = []", "front.polling_timeout = 1",
				"front.websocket_compression = true", "limits.connections_per_ip = 1", `limits.drain_timeout = "100ms"`,
			}
			if proxy == "haproxy" {
				lines = append(lines, "front.proxy_protocol = true")
			}
			rewriteWhole(t, config, lines...)
			d := start(t, nil, config)
			b := startProxy(t, proxy, "8s", "http://"+d.Address("admin"), d.Address("front"))

			if _, status, err := dialSocket(ctx, b.client("127.0.0.4", false), b.url+"/ws?cname=a", "https://bad.example"); status != 403 {
				t.Errorf("of another origin: %d, %v", status, err)
			}
			w := b.socket(ctx, "127.0.0.2", "cname=a&seq=1&cname=b&seq=1", b.url) // a page of the proxy's own
			b.socket(ctx, "127.0.0.2", "cname=a", "").hear(ctx, `{"type":"429"`)
			other := b.socket(ctx, "127.0.0.3", "cname=b", "")
			other.hear(ctx, `{"type":"next_seq","cname":"b"`)
			other.conn.CloseNow()
			b.wantSubscribers(1)

			for range 10 {
				w.hear(ctx, `"type":"noop"`)
			}
			b.push("here")
			w.hearData(ctx, `"content":"here"`)
			large := strings.Repeat("large", 1000)
			b.push(large)
			w.hearData(ctx, large)
			ponged := make(chan error, 1)
			go func() { ponged <- w.conn.Ping(ctx) }() // which a reader has to see
			if err := w.conn.Write(ctx, websocket.MessageText, []byte(`{"type":"unsubscribe","cname":"b"}`)); err != nil {
				t.Fatal(err)
			}
			w.hearData(ctx, `{"type":"unsubscribed","cname":"b"`)
			for len(ponged) == 0 {
				w.hear(ctx, `"type":"noop"`)
			}
			if err := <-ponged; err != nil {
				t.Errorf("ping: %v", err)
			}

			d.Send(syscall.SIGTERM)
			w.hearEnd(ctx, websocket.StatusGoingAway)
			d.WaitEnd(startLimit, 0)
			if _, status, err := dialSocket(ctx, b.client("127.0.0.3", false), b.url+"/ws?cname=a&token=0123secret4567", ""); status < 500 {
				t.Errorf("without a server: %d, %v", status, err)
			}
			if log := b.log(); strings.Contains(log, "secret") {
				t.Errorf("the token is in the proxy's log:\n%s", log)
			}
			start(t, nil, config)
			checkFor(t, startLimit, func() error {
				conn, _, err := dialSocket(ctx, b.client("127.0.0.2", false), b.url+"/ws?cname=a&seq=1", "")
				w.conn = conn
				return err
			})
			b.push("again")
			w.hearData(ctx, `"seq":1,"content":"again"`)
			fetch(t, b.admin+"/close?cname=a")
			w.hearData(ctx, `{"type":"close"`)
			w.hearEnd(ctx, websocket.StatusNormalClosure)
			b.wantSubscribers(0)
		})
	}
}

// hearData reads a message, behind any number of heartbeats.
func (w *tunnel) hearData(ctx context.Context, want string) {
	w.t.Helper()
	for {
		_, text, err := w.conn.Read(ctx)
		if err == nil && strings.HasPrefix(string(text), `{"type":"noop"`) {
			continue
		}
		if err != nil || !strings.Contains(string(text), want) {
			w.t.Fatalf("heard %.300q, %v; want %.300q", text, err, want)
		}
		return
	}
}

// hearEnd wants the end, behind any number of heartbeats.
func (w *tunnel) hearEnd(ctx context.Context, code websocket.StatusCode) {
	w.t.Helper()
	for {
		_, text, err := w.conn.Read(ctx)
		if err == nil && strings.HasPrefix(string(text), `{"type":"noop"`) {
			continue
		}
		if websocket.CloseStatus(err) != code {
			w.t.Fatalf("heard %.300q, %v; want the end with %d", text, err, code)
		}
		return
	}
}

// TestPlainProxiesWebSocket: proxies that are told nothing but where the server is. Those
// that pass no WebSocket on get an answer that says why.
func TestPlainProxiesWebSocket(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{"nginx", "haproxy", "caddy"} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			s, ctx := servertest.Start(t), deadline(t)
			url := startPlain(t, proxy, s.Front) + "/ws?cname=a&seq=1"
			conn, status, err := dialSocket(ctx, http.DefaultClient, url, "")
			if proxy == "nginx" {
				if status != 400 {
					t.Errorf("%d, %v", status, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w := &tunnel{t, conn}
			s.WaitSubscribers("a", 1)
			s.Push("a", "one")
			w.hear(ctx, `"content":"one"`)
			if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
				t.Fatal(err)
			}
			w.hear(ctx, `{"type":"pong"}`)
			s.Stop()
			w.hearEnd(ctx, websocket.StatusGoingAway)
		})
	}
}
