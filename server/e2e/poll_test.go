package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/server/config"
)

// TestWaitingPollsOfOneConnection: what one poll asked for, callback, origin, version,
// is forgotten with its answer.
func TestWaitingPollsOfOneConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.allow_origins=https://a.example,https://b.example"))
	c := dial(t, s.front)
	asks := []struct{ path, version, origin, prefix string }{
		{"/poll?", "1.1", "", "icomet_cb({"},
		{"/poll?cb=one&", "1.1", "https://a.example", "one({"},
		{"/poll?", "1.0", "https://b.example", "icomet_cb({"},
		{"/poll?cb=&", "1.1", "", "{"},
		{"/sub?", "1.1", "https://evil.example", "{"},
		{"/sub?cb=two&", "1.0", "https://a.example", "two({"},
		{"/sub?", "1.0", "", "{"},
		{"/poll?cb=icomet_cb&", "1.1", "", "icomet_cb({"},
		{"/poll?", "1.1", "", "icomet_cb({"},
	}
	seq := int64(0)
	ask := func(i int) string {
		a := &asks[i%len(asks)]
		text := fmt.Sprintf("GET %scname=a&seq=%d HTTP/%s\r\nHost: h\r\nConnection: keep-alive\r\n", a.path, i+1, a.version)
		if a.origin != "" {
			text += "Origin: " + a.origin + "\r\n"
		}
		return text + "\r\n"
	}
	rounds := 4 * len(asks)
	s.deliver(c, ask(0))
	for i := range rounds {
		// In the first half each request is there before the answer to the one before,
		// in the second it comes after, now and then in two parts.
		if i < rounds/2 {
			s.deliver(c, ask(i+1))
		}
		s.call("/push?cname=a&content=x")
		seq++
		r := c.reply()
		a := asks[i%len(asks)]
		allow := a.origin
		if strings.Contains(allow, "evil") {
			allow = ""
		}
		if !strings.HasPrefix(r.body, a.prefix+messageText("data", "a", seq, "x")[1:]) || r.header.Get("Access-Control-Allow-Origin") != allow ||
			(r.header.Get("Connection") == "keep-alive") != (a.version == "1.0") || r.header.Get("Vary") != "Origin" {
			t.Errorf("%+v: got %q %v", a, r.body, r.header)
		}
		if i >= rounds/2 {
			next := ask(i + 1)
			if cut := i * 7 % 50; i%3 > 0 {
				s.deliver(c, next[:cut+1])
				next = next[cut+1:]
			}
			s.deliver(c, next)
		}
		s.pauseAll()() // when the loop has had its turn, the next one waits
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
	}
}

// TestWaitingPollEndings: each kind of message ends a waiting poll, in its callback.
func TestWaitingPollEndings(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.polling_timeout=1"))
	c := dial(t, s.front)
	for _, tc := range []struct{ call, want string }{
		{"/push?cname=a&content=x", messageText("data", "a", 1, "x")},
		{"/broadcast?content=y", "[" + messageText("broadcast", "a", 2, "y") + "," + messageText("next_seq", "a", 3, "") + "]"},
		{"", messageText("noop", "a", 7, "")},
		{"/close?cname=a", messageText("close", "a", 3, "")},
	} {
		c.get(fmt.Sprintf("/poll?cname=a&cb=f&noop=7&seq=%d", s.nextSeq("a")))
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
		if tc.call != "" {
			s.call(tc.call)
		}
		c.wantReply(200, "f("+tc.want+");\n")
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 0) })
	}
}

// nextSeq asks as a client would.
func (s *testServer) nextSeq(name string) (seq int64) {
	s.t.Helper()
	body := dial(s.t, s.front).get("/sub?cname=" + name).reply().body
	if _, err := fmt.Sscanf(body, `{"type":"next_seq","cname":"`+name+`","seq":%d,`, &seq); err != nil {
		s.t.Fatalf("%q: %v", body, err)
	}
	return seq
}

// TestListenAddresses: the role of a connection follows from where it came in, also
// with wildcards, IPv6 and one port number on two addresses.
func TestListenAddresses(t *testing.T) {
	t.Parallel()
	// The port is held for this test on the first address; the second is used by no other test.
	port := strconv.Itoa(redistest.Port(t))
	cases := []struct{ front, admin string }{
		{"0.0.0.0:0", "127.0.0.1:0"},
		{":0", "127.0.0.1:0"},
		{"127.0.0.1:" + port, "127.31.7.2:" + port},
	}
	if six, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a container may be without IPv6
		six.Close()
		cases = append(cases, struct{ front, admin string }{"[::1]:0", "127.0.0.1:0"},
			struct{ front, admin string }{"127.0.0.1:0", "[::1]:0"})
	}
	for _, tc := range cases {
		t.Run(tc.front+" "+tc.admin, func(t *testing.T) {
			s := startServer(t, func(c *config.Config) { c.Front.Listen, c.Admin.Listen = tc.front, tc.admin })
			s.call("/push?cname=a&content=x")
			dial(t, s.front).get("/sub?cname=a&seq=1").wantReply(200, "["+messageText("data", "a", 1, "x")+"]\n")
			dial(t, s.front).get("/push?cname=a&content=x").wantError(404, "path", false)
			dial(t, s.admin).get("/sub?cname=a&seq=1").wantError(404, "path", false)
		})
	}
}
