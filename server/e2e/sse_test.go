package e2e

import (
	"strings"
	"testing"
)

// TestOpenResponsesForbidBuffering: each response that stays open, and its HEAD, says to
// proxies that they must neither collect nor compress it; whole answers do not.
func TestOpenResponsesForbidBuffering(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, request := range []string{
		"GET /stream?cname=a", "GET /sse?cname=a", "GET /iframe?cname=a", "HEAD /stream", "HEAD /sse", "HEAD /iframe",
		"admin GET /psub", "admin GET /dashboard/feed",
	} {
		addr := s.front
		line, admin := strings.CutPrefix(request, "admin ")
		if admin {
			addr = s.admin
		}
		for _, version := range []string{"1.1", "1.0"} {
			c := dial(t, addr)
			c.sendf("%s HTTP/%s\r\nHost: test\r\n\r\n", line, version)
			head := c.head()
			for _, field := range []string{"Cache-Control: no-cache, no-transform", "X-Accel-Buffering: no"} {
				if strings.Count(head, "\r\n"+field+"\r\n") != 1 || strings.Count(head, "\r\nCache-Control:") != 1 {
					t.Errorf("%s HTTP/%s: %q has not %q", request, version, head, field)
				}
			}
			c.Close()
		}
	}
	for _, path := range []string{"/ping", "/poll?cname=a", "/icomet.js", "/nothing"} {
		if head := dial(t, s.front).get(path).head(); strings.Contains(head, "X-Accel-Buffering") || strings.Contains(head, "no-transform") {
			t.Errorf("%s: %q", path, head)
		}
	}
}

// TestSilentSSEBegins: a proxy that waits for the first byte of a body opens a response
// without messages, and a client takes the byte for no event.
func TestSilentSSEBegins(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	c := dial(t, s.front).get("/sse?cname=a&seq=2")
	c.head()
	if got := c.chunk(); got != "retry: 2000\n" {
		t.Errorf("the response begins with %q", got)
	}
	c = dial(t, s.front)
	c.sendf("GET /sse?cname=a&seq=2 HTTP/1.0\r\n\r\n")
	c.head()
	if got := c.readSome(len("retry: 2000\n")); got != "retry: 2000\n" {
		t.Errorf("the response to HTTP/1.0 begins with %q", got)
	}
}

// TestEventIDBehindData: at every byte where an event can be cut, a client that has read
// the id has read the data.
func TestEventIDBehindData(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	sub := s.open("sse", "cname=a")
	s.call("/push?cname=a&content=x")
	s.call("/broadcast?content=y")
	for _, typ := range []string{"next_seq", "data", "broadcast", "next_seq"} {
		event := sub.chunk()
		data, id := strings.Index(event, "data: {\"type\":\""+typ), strings.Index(event, "}\nid: ")
		if data != 0 || id < 0 || !strings.HasSuffix(event, "\n\n") || strings.Count(event, "id: ") != 1 {
			t.Errorf("the event of a %s is %q", typ, event)
		}
	}
}

// TestLastEventID: where an event source goes on. The header wins over the query, the query
// over seq, and what is no number counts for nothing, wherever it stands.
func TestLastEventID(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for range 5 {
		s.call("/push?cname=a&content=x")
	}
	for _, tc := range []struct {
		query, header string
		first         int64
	}{
		{"seq=1", "", 1},
		{"seq=1&lastEventId=2", "", 3},
		{"lastEventId=2", "", 3},
		{"last_event_id=2&seq=1", "", 3},
		{"seq=1&Last-Event-ID=2", "", 3},
		{"seq=1&lastEventId=2&last_event_id=3", "", 3},
		{"seq=1&lastEventId=2", "3", 4},
		{"seq=1&lastEventId=3", "0", 1},
		{"seq=1&lastEventId=2", "x", 3},
		{"seq=1&lastEventId=2", "c0ffee-3", 3},
		{"seq=2&lastEventId=", "", 2},
		{"seq=2&lastEventId=x", "", 2},
		{"seq=2&lastEventId=c0ffee-4", "", 2},
		{"seq=2&lastEventId=3-4", "", 2},
		{"seq=2&lastEventId=99999999999999999999", "", 2},
		{"seq=2&LASTEVENTID=3", "", 2},
		{"seq=2", "1.5", 2},
		{"seq=2", "c0ffee-3", 2},
	} {
		c := dial(t, s.front)
		field := ""
		if tc.header != "" {
			field = "Last-Event-ID: " + tc.header + "\r\n"
		}
		c.sendf("GET /sse?cname=a&%s HTTP/1.1\r\nHost: test\r\n%s\r\n", tc.query, field)
		c.head()
		c.chunk()
		if got, want := c.chunk(), asSent("sse", "data", "a", tc.first, "x"); got != takeEpochs(got, want) {
			t.Errorf("?%s, header %q: got %q, want %q", tc.query, tc.header, got, want)
		}
		c.Close()
	}
	// Only event sources have such an id.
	for _, transport := range []string{"stream", "iframe"} {
		s.open(transport, "cname=a&seq=1&lastEventId=2").want("data", "a", 1, "x")
	}
}
