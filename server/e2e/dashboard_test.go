package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"icomet/internal/version"
	"icomet/server/reactor"
	"icomet/server/wire"
	"icomet/web/dashboard"
)

// What the dashboard bounds: the messages of one channel that are shown, the bytes of
// each, and the open dashboards.
const (
	shownMessages = 100
	shownBytes    = 4 << 10
	maxFeeds      = 32
)

// TestDashboardFiles: all of them come without a key, none from elsewhere, and no other
// site may frame them or name another Host.
func TestDashboardFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.keys=0123456789abcdef", "admin.hosts=known.example"))
	c := dial(t, s.admin)
	for name, body := range dashboard.Files() {
		path := "/dashboard/" + name
		if name == "index.html" {
			path = "/"
		}
		c.sendf("GET %s HTTP/1.1\r\nHost: known.example\r\n\r\n", path)
		r := c.reply()
		if r.status != 200 || r.body != string(body) || r.header.Get("Content-Type") == "" || r.header.Get("Cache-Control") != "no-cache" ||
			!strings.Contains(r.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		c.sendf("GET %s HTTP/1.1\r\nHost: known.example\r\nIf-None-Match: %s\r\n\r\n", path, r.header.Get("ETag"))
		if r := c.reply(); r.status != 304 || r.body != "" {
			t.Errorf("%s again: %d", path, r.status)
		}
		c.sendf("GET %s HTTP/1.1\r\nHost: rebound.example\r\n\r\n", path)
		c.wantError(403, "Host", false)
		for _, elsewhere := range []string{"http://", "https://", "//cdn"} {
			text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "")
			if strings.Contains(text, `="`+elsewhere) || strings.Contains(text, "url("+elsewhere) || strings.Contains(text, "from '"+elsewhere) {
				t.Errorf("%s loads something from another site", name)
			}
		}
	}
	for _, path := range []string{"/dashboard/feed", "/dashboard/channels", "/dashboard/channel?cname=a", "/dashboard/config", "/dashboard/nothing"} {
		c.sendf("GET %s HTTP/1.1\r\nHost: known.example\r\n\r\n", path)
		c.wantError(401, "key", false)
	}
}

// TestLook is bounded, and changes nothing.
func TestLook(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.channel_buffer_size=1000"))
	c := dial(t, s.admin)
	type look struct {
		There    bool
		Next     int64
		Messages []struct {
			Seq     int64
			Bytes   int
			Content string
		}
	}
	ask := func(query string) (l look) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.call("/dashboard/channel?"+query)), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := ask("cname=a"); l.There || s.hub.Channels() != 0 {
		t.Errorf("%+v", l)
	}
	for range 150 {
		s.call("/push?cname=a&content=x")
	}
	if l := ask("cname=a&seq=3"); len(l.Messages) != shownMessages || l.Messages[0].Seq != 51 || l.Next != 151 {
		t.Errorf("%d messages: %+v", len(l.Messages), l.Messages[0])
	}
	c.sendf("POST /push?cname=a HTTP/1.1\r\nHost: h\r\nContent-Length: 6008\r\n\r\ncontent=%s", strings.Repeat("y", 6000))
	c.wantReply(200, "{\"type\":\"ok\"}\n")
	l := ask("cname=a&seq=151")
	if len(l.Messages) != 1 || l.Messages[0].Bytes != 6000 || len(l.Messages[0].Content) != shownBytes {
		t.Errorf("%d messages, %d bytes shown", len(l.Messages), len(l.Messages[0].Content))
	}
	if n := s.hub.ChannelSubscribers([]byte("a")); n != 0 {
		t.Errorf("%d subscribers", n)
	}
	c.get("/dashboard/channel").wantError(400, "cname", false)
}

// feedEvent reads the next event of a dashboard's stream.
func (c *client) feedEvent() (event string, data map[string]any) {
	c.t.Helper()
	text, found := strings.CutPrefix(c.chunk(), "event: hello\n")
	event = "line"
	if found {
		event = "hello"
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(text), "data: ")), &data); err != nil {
		c.t.Fatalf("%v in %q", err, text)
	}
	return event, data
}

// TestFeed: a first event that explains the rows, then a row a second, to several at
// once on all loops; nobody is counted as a subscriber.
func TestFeed(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var watchers []*client
	for range 6 {
		c := dial(t, s.admin).get("/dashboard/feed")
		c.head()
		watchers = append(watchers, c)
	}
	event, hello := watchers[0].feedEvent()
	columns := hello["columns"].([]any)
	if event != "hello" || hello["version"] != wire.Version || hello["gnet"] != version.Of().Gnet || hello["date"] != version.Of().Date || columns[0] != "time" || columns[len(columns)-1] != "closed_"+(reactor.ReasonCount-1).String() {
		t.Errorf("%s: %v", event, hello)
	}
	for _, c := range watchers[1:] {
		c.feedEvent()
	}
	last := 0.0
	for range 2 {
		for i, c := range watchers {
			event, line := c.feedEvent()
			row := line["row"].([]any)
			if event != "line" || len(row) != len(columns) {
				t.Fatalf("%s with %d numbers for %d columns", event, len(row), len(columns))
			}
			if at := row[0].(float64); i == 0 {
				if last > 0 && (at-last < 0.8 || at-last > 5) {
					t.Errorf("%v s between two rows", at-last)
				}
				last = at
			}
			stats := line["stats"].(map[string]any)
			if stats["subscribers"] != 0.0 || stats["channels"] != 0.0 {
				t.Errorf("%v", stats)
			}
		}
	}
	// Who comes later gets the rows so far.
	late := dial(t, s.admin).get("/dashboard/feed")
	late.head()
	if _, hello := late.feedEvent(); len(hello["rows"].([]any)) < 2 {
		t.Errorf("%v", hello["rows"])
	}
	for _, c := range append(watchers, late) {
		c.Close()
	}
	s.waitWatching(0)
}

func (s *testServer) waitWatching(n int64) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		if got := int64(s.reactor.Feed().Watching()); got != n {
			return fmt.Errorf("%d dashboards are counted, want %d", got, n)
		}
		return nil
	})
}

// TestFeedIsBounded: over the bound a dashboard is refused; HTTP/1.0 gets no chunks.
func TestFeedIsBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	old := dial(t, s.admin)
	old.sendf("GET %s HTTP/1.0\r\n\r\n", "/dashboard/feed")
	if head := old.head(); strings.Contains(head, "chunked") {
		t.Errorf("%s", head)
	}
	for range 2 {
		line, err := old.R.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "event: hello") && !strings.HasPrefix(line, `data: {"admin":`) {
			t.Errorf("%.40q, %v", line, err)
		}
	}
	for range maxFeeds - 1 {
		c := dial(t, s.admin).get("/dashboard/feed")
		c.head()
	}
	s.waitWatching(maxFeeds)
	dial(t, s.admin).get("/dashboard/feed").wantError(503, "32 dashboards", false)
	old.Close()
	s.waitWatching(maxFeeds - 1)
	dial(t, s.admin).get("/dashboard/feed").head()
}

// TestFeedWaitsItsTurn: behind answers that are not there yet.
func TestFeedWaitsItsTurn(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.admin).get("/debug/pprof/heap?seconds=1").get("/dashboard/feed")
	if r := c.reply(); r.status != 200 || !strings.HasPrefix(r.body, "\x1f\x8b") {
		t.Fatalf("%d", r.status)
	}
	c.head()
	if event, _ := c.feedEvent(); event != "hello" {
		t.Error(event)
	}
}

// TestFeedSlowReader: a dashboard that does not read is cut, like any other.
func TestFeedSlowReader(t *testing.T) {
	t.Parallel()
	s := narrowServer(t, nil)
	c := dialNarrow(t, s.admin)
	c.sendf("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", "/dashboard/feed")
	s.waitWatching(1)
	line := []byte("data: " + strings.Repeat("x", 50<<10) + "\n\n")
	checkFor(t, patience, func() error {
		s.reactor.Feed().Send(line)
		if s.closedBy(reactor.ReasonSlowConsumer) == 0 {
			return errors.New("it is not cut")
		}
		return nil
	})
	s.waitWatching(0)
}
