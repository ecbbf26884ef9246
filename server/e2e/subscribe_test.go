package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"icomet/server/wire"
)

var transports = []string{"poll", "sub", "stream", "sse", "iframe"}

// messageText is a message as every transport but iframe and JSONP writes it.
func messageText(typ, cname string, seq int64, content string) string {
	return fmt.Sprintf(`{"type":"%s","cname":"%s","seq":%d,"content":"%s"}`, typ, cname, seq, content)
}

// asSent is what one live message looks like in a transport's body.
func asSent(transport, typ, cname string, seq int64, content string) string {
	m := messageText(typ, cname, seq, content)
	switch transport {
	case "poll":
		return "icomet_cb(" + m + ");\n"
	case "iframe":
		return "<script>parent.icomet_cb(" + m + ");</script>\n"
	case "sse":
		id, retry := "", ""
		switch typ {
		case "close", "401", "429":
			retry = "retry: 15000\n"
		case "data", "broadcast":
			id = fmt.Sprintf("id: %s-%d\n", anyEpoch, seq)
		case "next_seq":
			id = fmt.Sprintf("id: %s-%d\n", anyEpoch, seq-1)
		}
		return retry + "data: " + m + "\n" + id + "\n"
	}
	return m + "\n"
}

// subscriber is an open subscription of any transport.
type subscriber struct {
	*client
	transport string
	polls     bool
}

// open subscribes and, save for a poll, reads head and preamble.
func (s *testServer) open(transport, query string) *subscriber {
	s.t.Helper()
	c := dial(s.t, s.front).get("/" + transport + "?" + query)
	sub := &subscriber{c, transport, transport == "poll" || transport == "sub"}
	if sub.polls {
		return sub
	}
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		s.t.Fatalf("/%s?%s: %s", transport, query, head)
	}
	switch transport {
	case "sse":
		if pre := c.chunk(); pre != "retry: 2000\n" {
			s.t.Fatalf("the response begins with %q", pre)
		}
	case "iframe":
		if pre := c.chunk(); !strings.Contains(pre, "<body>") || !strings.Contains(pre, "utf-8") || !strings.Contains(pre, "no-cache") {
			s.t.Fatalf("the preamble is %q", pre)
		}
	}
	return sub
}

// next reads the next message in the transport's framing.
func (s *subscriber) next() string {
	s.t.Helper()
	if !s.polls {
		return s.chunk()
	}
	r := s.reply()
	if r.status != 200 {
		s.t.Fatalf("/%s: %d %q", s.transport, r.status, r.body)
	}
	return r.body
}

func (s *subscriber) want(typ, cname string, seq int64, content string) {
	s.t.Helper()
	if got, want := s.next(), asSent(s.transport, typ, cname, seq, content); got != takeEpochs(got, want) {
		s.t.Fatalf("/%s: got %q, want %q", s.transport, got, want)
	}
}

// TestSeqEdges: what seq may be, on each transport. The channel's next seq is 2.
func TestSeqEdges(t *testing.T) {
	t.Parallel()
	const told, first, waits = "next_seq", "data", "waits"
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	for _, tc := range []struct{ seq, want string }{
		{"", told}, {"seq=0", told}, {"seq=-0", told}, {"seq=-1", told}, {"seq=-9223372036854775808", told},
		{"seq=1", first}, {"seq=0001", first}, {"seq=2", waits}, {"seq=3", told}, {"seq=9223372036854775807", told},
		{"seq=1&seq=abc", first}, {"sequence=1", told},
		{"seq=9223372036854775808", "400"}, {"seq=-9223372036854775809", "400"}, {"seq=99999999999999999999999", "400"},
		{"seq=abc", "400"}, {"seq=1.0", "400"}, {"seq=1e3", "400"}, {"seq=0x1", "400"}, {"seq=%2B1", "400"}, {"seq=+1", "400"},
		{"seq=1+", "400"}, {"seq=-", "400"}, {"seq=--1", "400"}, {"seq=%D9%A1", "400"},
	} {
		for _, transport := range transports {
			query := "cname=a&" + tc.seq
			if tc.want == "400" {
				dial(t, s.front).get("/"+transport+"?"+query).wantError(400, "seq is not an integer", false)
				continue
			}
			sub := s.open(transport, query)
			switch {
			case tc.want == told:
				sub.want("next_seq", "a", 2, "")
			case tc.want == first && transport == "poll":
				sub.wantReply(200, "icomet_cb(["+messageText("data", "a", 1, "x")+"]);\n")
			case tc.want == first && transport == "sub":
				sub.wantReply(200, "["+messageText("data", "a", 1, "x")+"]\n")
			case tc.want == first:
				sub.want("data", "a", 1, "x")
			default:
				checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
				s.call("/push?cname=a&content=live")
				sub.want("data", "a", 2, "live")
				s.call("/close?cname=a") // start again
				s.call("/push?cname=a&content=x")
			}
			sub.Close()
			checkFor(t, patience, func() error { return s.hasSubscribers("a", 0) })
		}
	}
}

// TestNoopParameter: not an integer is 400 on each transport.
func TestNoopParameter(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, transport := range transports {
		for _, noop := range []string{"x", "1.5", "9223372036854775808", "1%20"} {
			dial(t, s.front).get("/"+transport+"?cname=a&noop="+noop).wantError(400, "noop is not an integer", false)
		}
	}
	if n := s.hub.Channels(); n != 0 {
		t.Errorf("refused requests have created %d channels", n)
	}
}

// TestCallbackRule: the same on each call that takes cb; the open transports ignore it.
func TestCallbackRule(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	front, admin := dial(t, s.front), dial(t, s.admin)
	type call struct {
		c    *client
		path string
	}
	calls := []call{{front, "/poll?cname=a&cb="}, {front, "/sub?cname=a&cb="}, {front, "/ping?cb="},
		{admin, "/info?cb="}, {admin, "/info?cname=a&cb="}, {admin, "/check?cname=a&cb="}, {admin, "/sign?cname=a&cb="},
		{admin, "/push?cname=p&content=x&cb="}, {admin, "/pub?cname=p&content=x&cb="}, {admin, "/stats?cb="}}
	for _, cb := range []string{"f", "_", "$", "A9", "a.b.c", "jQuery_1$", strings.Repeat("a", 128)} {
		for _, call := range calls {
			r := call.c.get(call.path + cb).reply()
			if r.status != 200 || !strings.HasPrefix(r.body, cb+"({") || !strings.HasSuffix(r.body, "});\n") ||
				r.header.Get("Content-Type") != "text/javascript; charset=utf-8" {
				t.Errorf("%s%s: got %d %q %q", call.path, cb, r.status, r.body, r.header.Get("Content-Type"))
			}
		}
	}
	for _, cb := range []string{"9", ".a", "a-b", "a%20b", "alert(1)//", "a;b", "a%5B0%5D", "%C3%A4", "a%0A", "%3Cscript%3E", strings.Repeat("a", 129)} {
		before := s.hub.Channels()
		for _, call := range calls {
			call.c.get(call.path+cb).wantError(400, "cb is not a callback name", false)
		}
		if n := s.hub.Channels(); n != before {
			t.Errorf("cb=%s: %d channels, %d before", cb, n, before)
		}
		for _, transport := range []string{"stream", "sse", "iframe"} {
			sub := s.open(transport, "cname=open&cb="+cb)
			sub.want("next_seq", "open", 1, "")
			sub.Close()
		}
	}
	// Refused publishes have left nothing behind the seven good ones of each kind.
	front.get("/sub?cname=p").wantReply(200, messageText("next_seq", "p", 15, "")+"\n")
	for _, call := range calls[3:6] { // an empty one is none
		if r := call.c.get(call.path).reply(); r.status != 200 || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: got %d %v", call.path, r.status, r.header)
		}
	}
}

// TestFrontFields: the fields that each front answer carries.
func TestFrontFields(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, path := range []string{"/poll?cname=a", "/sub?cname=a", "/stream?cname=a", "/sse?cname=a", "/iframe?cname=a", "/ping", "/nothing", "/poll"} {
		for _, origin := range []string{"", "Origin: https://x.example\r\n", "Origin: null\r\n"} {
			c := dial(t, s.front)
			c.sendf("GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, origin)
			resp, err := http.ReadResponse(c.R, nil)
			if err != nil {
				t.Fatal(err)
			}
			cache := "no-cache"
			if resp.ContentLength < 0 {
				cache = "no-cache, no-transform"
			}
			for field, want := range map[string]string{"Cache-Control": cache, "Expires": "0", "Server": "icomet/" + wire.Version,
				"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*"} {
				if got := resp.Header[field]; len(got) != 1 || got[0] != want {
					t.Errorf("%s: %s is %q", path, field, got)
				}
			}
			c.Close()
		}
	}
}

// TestSubscriberLimitFreed: who leaves makes room, and who was refused can come again
// on the same connection.
func TestSubscriberLimitFreed(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.max_subscribers_per_channel=2"))
	for _, transport := range transports {
		first, second := s.open("stream", "cname=a&seq=1"), s.open("stream", "cname=a&seq=1")
		third := s.open(transport, "cname=a&seq=1")
		third.want("429", "a", 0, "Too many subscribers")
		if !third.polls {
			if end := third.chunk(); end != "" {
				t.Errorf("/%s goes on with %q", transport, end)
			}
		}
		second.Close()
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
		third.get("/" + transport + "?cname=a&seq=1")
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 2) })
		s.call("/push?cname=a&content=x")
		first.want("data", "a", 1, "x")
		if r := third.client; third.polls {
			third.want("data", "a", 1, "x")
		} else if head := r.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Errorf("/%s: %q", transport, head)
		}
		first.Close()
		third.Close()
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 0) })
		s.call("/close?cname=a")
	}
}

// TestManyChannelsFreed: a channel that is gone makes room for another.
func TestManyChannelsFreed(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.max_channels=1"))
	for _, transport := range transports {
		s.call("/push?cname=a&content=x")
		sub := s.open(transport, "cname=b&seq=1")
		sub.want("429", "b", 0, "Too many channels")
		s.call("/close?cname=a")
		s.open(transport, "cname=b").want("next_seq", "b", 1, "")
		s.call("/close?cname=b")
	}
}

// TestLiveAfterTheBeginning: whatever a subscriber has begun with, the next message
// is the one that it was told to expect.
func TestLiveAfterTheBeginning(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, transport := range []string{"stream", "sse", "iframe"} {
		s.call("/push?cname=a&content=1")
		s.call("/push?cname=a&content=2")
		var subs []*subscriber
		for _, seq := range []string{"0", "1", "2", "3", "4", "9223372036854775807"} {
			sub := s.open(transport, "cname=a&seq="+seq)
			switch seq {
			case "1":
				sub.want("data", "a", 1, "1")
				sub.want("data", "a", 2, "2")
			case "2":
				sub.want("data", "a", 2, "2")
			case "3":
			default:
				sub.want("next_seq", "a", 3, "")
			}
			subs = append(subs, sub)
		}
		s.call("/push?cname=a&content=3")
		s.call("/broadcast?content=4")
		s.call("/close?cname=a")
		for _, sub := range subs {
			sub.want("data", "a", 3, "3")
			sub.want("broadcast", "a", 4, "4")
			sub.want("next_seq", "a", 5, "")
			sub.want("close", "a", 5, "")
			if end := sub.chunk(); end != "" {
				t.Errorf("/%s: after close %q", transport, end)
			}
		}
	}
}
