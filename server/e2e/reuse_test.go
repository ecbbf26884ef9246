package e2e

import (
	"fmt"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/reactor"
)

const originA, originB = "http://a.example", "http://b.example"

// pollKinds are polls that are to be answered in different ways.
var pollKinds = []struct {
	request string // path and version, then header lines
	body    string // %s is the message
	conn    string // the Connection field
	origin  string // the Access-Control-Allow-Origin field
}{
	{"/poll?cb=foo HTTP/1.1", "foo(%s);\n", "", ""},
	{"/poll? HTTP/1.1", "icomet_cb(%s);\n", "", ""},
	{"/sub? HTTP/1.1", "%s\n", "", ""},
	{"/poll? HTTP/1.0\r\nConnection: keep-alive", "icomet_cb(%s);\n", "keep-alive", ""},
	{"/poll? HTTP/1.1", "icomet_cb(%s);\n", "", ""},
	{"/sub? HTTP/1.1\r\nOrigin: " + originB, "%s\n", "", originB},
	{"/sub? HTTP/1.1", "%s\n", "", ""},
	{"/sub?cb=x.y HTTP/1.1\r\nOrigin: " + originA, "x.y(%s);\n", "", originA},
	{"/poll?cb= HTTP/1.1", "%s\n", "", ""},
	{"/sub? HTTP/1.1\r\nConnection: close", "%s\n", "close", ""},
}

// TestNothingStaysOfTheRequestBefore makes one connection wait for message after
// message, each time in another way: no answer may look like the one before it.
func TestNothingStaysOfTheRequestBefore(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.AllowOrigins = []string{originA, originB} })
	for round, cname := range []string{"oneByOne", "allAtOnce"} {
		c := dial(t, s.front)
		all := ""
		for i, k := range pollKinds {
			path, rest, _ := strings.Cut(k.request, " ")
			request := fmt.Sprintf("GET %s&cname=%s&seq=%d %s\r\nHost: t\r\n\r\n", path, cname, i+1, rest)
			if cname == "oneByOne" {
				c.sendf("%s", request)
				s.checkKind(c, cname, round, i)
			}
			all += request
		}
		if cname == "allAtOnce" {
			c.sendf("%s", all)
			for i := range pollKinds {
				s.checkKind(c, cname, round, i)
			}
		}
		c.expectEnd()
	}
}

// waitPoll waits until the n-th request has come and its poll waits. The subscriber
// before has gone by then, though its answer may be here earlier.
func (s *testServer) waitPoll(cname string, n uint64) {
	s.t.Helper()
	checkFor(s.t, patience, func() error {
		got, subscribers := s.Stats().Requests, s.hub.ChannelSubscribers([]byte(cname))
		if got != n || subscribers != 1 {
			return fmt.Errorf("%d requests of %d, %d subscribers of %s", got, n, subscribers, cname)
		}
		return nil
	})
}

// checkKind publishes a message and reads the answer of the poll that waits.
func (s *testServer) checkKind(c *client, cname string, round, i int) {
	s.t.Helper()
	k := &pollKinds[i]
	s.waitPoll(cname, uint64(2*(round*len(pollKinds)+i)+1)) // each with a publish
	s.call("/push?content=m&cname=" + cname)
	r := c.reply()
	if want := fmt.Sprintf(k.body, fmt.Sprintf(`{"type":"data","cname":"%s","seq":%d,"content":"m"}`, cname, i+1)); r.body != want {
		s.t.Errorf("%s: %q: body %q, want %q", cname, k.request, r.body, want)
	}
	connection := r.header.Get("Connection") // ReadResponse takes "close" out
	if r.close {
		connection = "close"
	}
	if connection != k.conn {
		s.t.Errorf("%s: %q: Connection is %q, want %q", cname, k.request, connection, k.conn)
	}
	if got := r.header.Get("Access-Control-Allow-Origin"); got != k.origin {
		s.t.Errorf("%s: %q: origin %q, want %q", cname, k.request, got, k.origin)
	}
}

// TestRequestsBehindAnOpenResponse pipelines behind streams that a close ends.
func TestRequestsBehindAnOpenResponse(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	c.sendf("%s", pipelined("/stream?cname=a&seq=1", "/sse?cname=b&seq=1", "/poll?cname=c&seq=0", "/ping?cb=x"))
	for _, name := range []string{"a", "b"} {
		c.head()
		if name == "b" {
			c.chunk() // what a response of server-sent events begins with
		}
		s.waitSubscribers(name, 1)
		s.call("/push?content=m&cname=" + name)
		s.call("/close?cname=" + name)
		for _, want := range []string{`"content":"m"`, `"type":"close"`, ""} {
			if got := c.chunk(); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: chunk %q, want %q", name, got, want)
			}
		}
	}
	c.expectAnswers(`"type":"next_seq","cname":"c","seq":1`, `x({"type":"ping"`)
}

// TestTooMuchBehindAnOpenResponse is cut: one head is kept, not more.
func TestTooMuchBehindAnOpenResponse(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := s.subscribe("/stream?cname=a&seq=1")
	_, _ = c.Write([]byte(strings.Repeat("x", 40<<10)))
	if _, err := c.restOf(); err != nil {
		t.Errorf("it is not cut: %v", err)
	}
	checkFor(t, patience, func() error {
		if n := s.closedBy(reactor.ReasonPipelined); n != 1 {
			return fmt.Errorf("%d connections were cut for it", n)
		}
		return nil
	})
}

// TestHeadOnHTTP10 closes as the head of a stream says, also on a kept connection.
func TestHeadOnHTTP10(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	c.sendf("HEAD /stream?cname=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if head := c.head(); !strings.Contains(head, "\r\nConnection: close\r\n") {
		t.Errorf("the head is %q", head)
	}
	c.expectEnd()
}
