package e2e

import (
	"errors"
	"testing"

	"icomet/server/servertest"
)

// wantClosed wants the close frame of a WebSocket.
func (c *client) wantClosed(code int) {
	c.t.Helper()
	text, err := c.Text()
	if end := (*servertest.CloseError)(nil); !errors.As(err, &end) || end.Code != code {
		c.t.Fatalf("got %q, %v; want a close frame with %d", text, err, code)
	}
}

func (c *client) wantText(want string) {
	c.t.Helper()
	if text, err := c.Text(); err != nil || text != want {
		c.t.Fatalf("got %q, %v; want %q", text, err, want)
	}
}

func (c *client) upgrade(path string) *client {
	c.t.Helper()
	if _, err := c.Upgrade(path, ""); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// TestSocketWithoutChannelsIsLimited: a WebSocket that names no channel is one connection
// like any other.
func TestSocketWithoutChannelsIsLimited(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "limits.connections_per_ip=1"))
	first := dial(t, s.front).upgrade("/ws")
	s.wantCounts("127.0.0.1=1")
	over := dial(t, s.front).upgrade("/ws")
	over.wantText(messageText("429", "", 0, "Too many subscribers"))
	over.wantClosed(1000)
	if err := first.SendFrame(servertest.FrameText, `{"type":"ping"}`); err != nil {
		t.Fatal(err)
	}
	first.wantText(`{"type":"pong"}`)
}

// TestManyMalformedCountsNoClient: a request for several channels that is answered 400 leaves
// no count of a proxy's client behind.
func TestManyMalformedCountsNoClient(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.trusted_proxies=127.0.0.1", "limits.connections_per_ip=1"))
	c := dial(t, s.front)
	for _, path := range []string{"/poll?cname=a&cname=a", "/stream?cname=a&cname=b&seq=x"} {
		c.sendf("GET %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", path)
		if status, body := c.response(); status != 400 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	s.wantCounts("")
}

// TestSubscribeBehindTheLastEnd: a WebSocket whose only channel is over, and which subscribes
// to another in the same write, goes on with that.
func TestSubscribeBehindTheLastEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/end?cname=over&content=x")
	c := dial(t, s.front).upgrade("/ws")
	var b []byte
	for _, name := range []string{"over", "b"} {
		b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FrameText, `{"type":"subscribe","cname":"`+name+`","last":"0"}`)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.until(`"type":"end","cname":"over","seq":2,"content":""}`)
	c.until(`"cname":"b","seq":1,"content":"","epoch":"`)
	c.until(`"lost":0}`)
	s.push("b", "live")
	c.wantText(messageText("data", "b", 1, "live"))
}

// TestPingBehindTheLastEnd: nothing follows the close frame.
func TestPingBehindTheLastEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/end?cname=over&content=x")
	c := dial(t, s.front).upgrade("/ws")
	b := servertest.AppendFrame(nil, servertest.FrameFin|servertest.FrameText, `{"type":"subscribe","cname":"over"}`)
	b = servertest.AppendFrame(b, servertest.FrameFin|servertest.FramePing, "x")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	c.until(`"type":"end","cname":"over","seq":2,"content":""}`)
	c.wantClosed(1000)
	if rest, err := c.restOf(); rest != "" || err != nil {
		t.Errorf("behind the close frame: %q, %v", rest, err)
	}
}
