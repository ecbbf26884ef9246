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
	"icomet/server/servertest"
)

// tight are limits that a test can step over with a few bytes.
func tight(cfg *config.Config) {
	cfg.Limits.RequestLine, cfg.Limits.Header, cfg.Limits.HeaderFields, cfg.Limits.Body = 100, 200, 5, 50
}

// TestLimits: what just fits is answered, one more is refused and ends the connection.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := startServer(t, tight)
	line := func(n int) string { // a request line of n bytes, without its CRLF
		return "GET /info?cname=" + strings.Repeat("l", n-len("GET /info?cname= HTTP/1.1")) + " HTTP/1.1"
	}
	header := func(n int) string { // a header section of n bytes with the empty line
		return "Host: h\r\nX: " + strings.Repeat("h", n-len("Host: h\r\nX: \r\n\r\n")) + "\r\n\r\n"
	}
	body := func(n int) string { return "cname=a&content=" + strings.Repeat("b", n-len("cname=a&content=")) }
	chunked := func(n int) string {
		b := body(n)
		return fmt.Sprintf("POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\na\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", b[:10], n-10, b[10:])
	}
	meta := func(n int) string { // n bytes of chunk extensions
		return "POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10;" + strings.Repeat("e", n-1) +
			"\r\ncname=a&content=\r\n0\r\n\r\n"
	}
	for _, tc := range []struct {
		about, request string
		status         int // 200: it fits
		word           string
	}{
		{"line", line(100) + "\r\nHost: h\r\n\r\n", 200, ""},
		{"line+1", line(101) + "\r\nHost: h\r\n\r\n", 414, "request line"},
		{"line without end", "GET /" + strings.Repeat("x", 1000), 414, "request line"},
		{"header", "GET /info HTTP/1.1\r\n" + header(200), 200, ""},
		{"header+1", "GET /info HTTP/1.1\r\n" + header(201), 431, "header"},
		{"header without end", "GET /info HTTP/1.1\r\nX: " + strings.Repeat("x", 1000), 431, "header"},
		{"fields", "GET /info HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", 200, ""},
		{"fields+1", "GET /info HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n", 431, "fields"},
		{"body", post("/push", formBody, body(50)), 200, ""},
		{"body+1", post("/push", formBody, body(51)), 413, "body"},
		{"body of GET", strings.Replace(post("/info", formBody, body(51)), "POST", "GET", 1), 413, "body"},
		{"chunked body", chunked(50), 200, ""},
		{"chunked body+1", chunked(51), 413, "body"},
		{"chunk extensions", meta(200), 200, ""},
		{"chunk extensions+1", meta(201), 431, "chunk"},
	} {
		c := dial(t, s.admin)
		c.sendf("%s", tc.request)
		if tc.status != 200 {
			c.wantError(tc.status, tc.word, true)
		} else if r := c.reply(); r.status != 200 || r.close {
			t.Errorf("%s: got %d %q %v", tc.about, r.status, r.body, r.close)
		}
	}
}

// TestBodyRefusedBeforeItComes: a valid length over the limit is answered at the
// head; one that is no int64 is 400.
func TestBodyRefusedBeforeItComes(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, tc := range []struct {
		length string
		status int
		word   string
	}{
		{"1048577", 413, "body"},
		{"9223372036854775807", 413, "body"},
		{"9223372036854775808", 400, "Content-Length"},
		{"99999999999999999999", 400, "Content-Length"},
	} {
		c := dial(t, s.admin)
		c.sendf("POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n", tc.length)
		c.wantError(tc.status, tc.word, true)
	}
	// The limit itself is a body.
	c := dial(t, s.admin)
	body := "cname=a&content=" + strings.Repeat("x", 1<<20-len("cname=a&content="))
	c.sendf("%s", post("/push", formBody, body))
	c.wantReply(200, "{\"type\":\"ok\"}\n")
}

// TestErrorOutlivesMoreInput: a client that goes on sending still reads the error: its
// input is taken for up to a second, and no reset eats the answer. Linux hands out what
// has come before a reset, so that the reset itself is what this looks for.
func TestErrorOutlivesMoreInput(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.keys=0123456789abcdef"))
	more := strings.Repeat("more and more bytes\r\n", 1<<20/21)
	for _, tc := range []struct {
		addr, request string
		status        int
		word          string
	}{
		{s.front, "garbage\r\n", 400, "request line"},
		{s.front, "GET /" + strings.Repeat("x", 9000), 414, "request line"},
		{s.front, "GET /ping HTTP/1.1\r\nX: " + strings.Repeat("x", 17000), 431, "header"},
		{s.front, "GET /ping HTTP/3.0\r\n", 505, "version"},
		{s.admin, "POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413, "body"},
		{s.admin, "POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", 501, "coding"},
		{s.admin, "GET /push HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 401, "key"},
	} {
		c := dial(t, tc.addr)
		c.sendf("%s", tc.request)
		for range 2 {
			if _, err := io.WriteString(c.Conn, more); err != nil {
				t.Errorf("%.30q: going on: %v", tc.request, err)
			}
		}
		r := c.reply()
		if r.status != tc.status || !strings.Contains(r.body, tc.word) {
			t.Errorf("%.30q: got %d %q", tc.request, r.status, r.body)
		}
		if rest, err := io.ReadAll(c.R); len(rest) > 0 || err != nil {
			t.Errorf("%.30q: behind the error %q, %v", tc.request, rest, err)
		}
	}
}

// TestRequestTimeout: from the first byte the request has request_timeout to be
// complete, and a byte now and then does not prolong it.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "limits.request_timeout=500ms"))
	var clients []*client
	start := time.Now()
	for _, part := range []string{"G", "GET /info", "GET /info HTTP/1.1\r\nHos",
		"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n",
		"POST /push HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\nabc",
		"POST /push HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nab"} {
		for _, before := range []string{"", "GET /info HTTP/1.1\r\nHost: h\r\n\r\n"} {
			c := dial(t, s.admin)
			c.sendf("%s%s", before, part)
			if before != "" {
				if status, _ := c.response(); status != 200 {
					t.Fatalf("%d", status)
				}
			}
			clients = append(clients, c)
		}
	}
	stop := make(chan struct{})
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, c := range clients {
				_, _ = io.WriteString(c.Conn, "a") // fails once the server has gone
			}
		}
	}()
	for _, c := range clients {
		r := c.reply()
		if took := time.Since(start); took < 380*time.Millisecond || took > 500*time.Millisecond+servertest.Lateness {
			t.Errorf("answered after %v", took)
		}
		if r.status != 408 || !r.close || !strings.Contains(r.body, "request_timeout") {
			t.Errorf("got %d %q", r.status, r.body)
		}
	}
	close(stop)
	<-dripped
}

// TestIdleTimeout: no byte after connecting, or between requests, for idle_timeout:
// the connection closes without an answer. An open response is not idle.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "limits.idle_timeout=500ms", "limits.request_timeout=10s"))
	stream := s.subscribe("/stream?cname=a&seq=1")
	poll := dial(t, s.front).get("/sub?cname=a&seq=1")
	checkFor(t, patience, func() error { return s.hasSubscribers("a", 2) })
	psub := dial(t, s.admin).get("/psub")
	psub.head()
	start := time.Now()
	silent, used, admin := dial(t, s.front), dial(t, s.front), dial(t, s.admin)
	used.get("/ping?cb=").wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
	admin.get("/check?cname=a").wantReply(200, "{\"a\": 1}\n")
	begun := dial(t, s.admin) // in a request: the other timeout's
	begun.sendf("GET /info?cname=a HTTP/1.1\r\nHost:")
	for _, c := range []*client{silent, used, admin} {
		c.expectEnd()
		if took := time.Since(start); took < 380*time.Millisecond || took > 500*time.Millisecond+servertest.Lateness {
			t.Errorf("closed after %v", took)
		}
	}
	begun.sendf(" h\r\n\r\n")
	begun.wantReply(200, "{\"cname\": \"a\", \"subscribers\": 2}\n")
	s.call("/push?cname=a&content=x")
	const m = `{"type":"data","cname":"a","seq":1,"content":"x"}` + "\n"
	if got := stream.chunk(); got != m {
		t.Errorf("the stream got %q", got)
	}
	poll.wantReply(200, m)
	s.call("/push?cname=new&content=x")
	got := psub.chunk()
	for got == "1 a\n" { // it is repeated while it lives
		got = psub.chunk()
	}
	if got != "1 new\n" {
		t.Errorf("psub got %q", got)
	}
}

// TestPipelinedBehindOpenResponse: one request head is kept, more ends the connection.
func TestPipelinedBehindOpenResponse(t *testing.T) {
	t.Parallel()
	s := startServer(t, tight)
	const limit = 100 + 200 // of tight's head
	next := "GET /ping?cb= HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 150) + "\r\n\r\n"
	for _, path := range []string{"/stream?cname=a&seq=1", "/sse?cname=a&seq=1", "/iframe?cname=a&seq=1", "/sub?cname=a&seq=1"} {
		c := dial(t, s.front).get(path)
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
		s.deliver(c, next[:20])
		s.deliver(c, next[20:])
		s.call("/push?cname=a&content=there")
		s.call("/close?cname=a")
		if r := c.reply(); !strings.Contains(r.body, `"content":"there"`) {
			t.Errorf("%s: got %q", path, r.body)
		}
		c.wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")

		c = dial(t, s.front).get(path)
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
		c.sendf("%s", strings.Repeat("y", limit+1))
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 0) })
		s.call("/close?cname=a")
		if b, err := io.ReadAll(c.R); strings.Contains(string(b), "close") || isTimeout(err) {
			t.Errorf("%s: not cut: %q %v", path, b, err)
		}
	}
	if n := s.Stats().Closed["pipelined_input"]; n != 4 {
		t.Errorf("%d connections were closed for pipelined input", n)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
