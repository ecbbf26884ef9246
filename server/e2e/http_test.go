package e2e

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"icomet/server/config"
	"icomet/server/servertest"
	"icomet/server/wire"
)

// reply is one answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool // the connection ends with it
}

// reply reads one whole answer.
func (c *client) reply() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.R, nil)
	status, body, err := servertest.ReadAnswer(resp, err)
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	return reply{status, resp.Header, body, resp.Close}
}

// wantReply checks status and body of the next answer.
func (c *client) wantReply(status int, body string) reply {
	c.t.Helper()
	r := c.reply()
	if r.status != status || r.body != body {
		c.t.Fatalf("got %d %q, want %d %q", r.status, r.body, status, body)
	}
	return r
}

// wantError checks an error answer: its status, that its text is one line with word
// in it, and that the connection ends or goes on as closes says.
func (c *client) wantError(status int, word string, closes bool) {
	c.t.Helper()
	r := c.reply()
	if r.status != status || !strings.Contains(r.body, word) {
		c.t.Fatalf("got %d %q, want %d and %q in it", r.status, r.body, status, word)
	}
	if !strings.HasSuffix(r.body, "\n") || strings.Count(r.body, "\n") != 1 || r.header.Get("Content-Length") == "" {
		c.t.Fatalf("the error is not one line with a length: %q %v", r.body, r.header)
	}
	if r.close != closes {
		c.t.Fatalf("%d %q: closes is %v, want %v", r.status, r.body, r.close, closes)
	}
	if closes {
		c.expectEnd()
	}
}

func post(path, contentType, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, contentType, len(body), body)
}

const formBody = "application/x-www-form-urlencoded"

// fragmented is a request of each shape with the answer that it must get however
// it is cut into packets.
var fragmented = []struct{ request, body string }{
	{"GET /push?cname=f%61&content=a%20b+c HTTP/1.1\r\nHost: test\r\nX-A: b\r\n\r\n", "{\"type\":\"ok\"}\n"},
	{post("/push?cname=q", formBody, "cname=fa&content=%41%26"), "{\"type\":\"ok\"}\n"},
	{post("/pub", "application/json", `{"cname":"fa", "content":"\u0041\\n"}`), "{\"type\":\"ok\"}\n"},
	{"POST /push?cname=fa HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"4\r\ncont\r\n04;a=b\r\nent=\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", "{\"type\":\"ok\"}\n"},
	{"\x47ET /info?cname=fa HTTP/1.1\r\nHost: test\r\n\r\n", "{\"cname\": \"fa\", \"subscribers\": 0}\n"},
}

const fragmentedBacklog = `[{"type":"data","cname":"fa","seq":1,"content":"a b c"},` +
	`{"type":"data","cname":"fa","seq":2,"content":"A&"},` +
	`{"type":"data","cname":"fa","seq":3,"content":"A\n"},` +
	`{"type":"data","cname":"fa","seq":4,"content":"0123456789"}]` + "\n"

// deliver sends bytes and returns when the server has read and handled them, so that
// what is sent next comes in a read of its own, and a waiting poll waits.
func (s *testServer) deliver(c *client, bytes string) {
	s.t.Helper()
	read := func() (n uint64) {
		for _, c := range s.reactor.Counters() {
			n += c.BytesIn.Load()
		}
		return n
	}
	want := read() + uint64(len(bytes))
	c.sendf("%s", bytes)
	for end := time.Now().Add(patience); read() < want; runtime.Gosched() {
		if time.Now().After(end) {
			s.t.Fatalf("%q is not read", bytes)
		}
	}
	s.pauseAll()() // the turn that has read them is over when the next runs
}

// TestByteByByte: a request is the same whole or in single bytes.
func TestByteByByte(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Limits.RequestTimeout = config.Duration(patience) }) // for busy machines
	c := dial(t, s.admin)
	for _, f := range fragmented {
		for i := range len(f.request) {
			s.deliver(c, f.request[i:i+1])
		}
		c.wantReply(200, f.body)
	}
	front := dial(t, s.front)
	for _, b := range []byte("GET /sub?cname=fa&seq=1 HTTP/1.1\r\nHost: test\r\n\r\n") {
		s.deliver(front, string(rune(b)))
	}
	front.wantReply(200, fragmentedBacklog)
}

// TestCutAnywhere: the requests together in two packets, cut at each byte.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	all := ""
	for _, f := range fragmented {
		all += f.request
	}
	c, front := dial(t, s.admin), dial(t, s.front)
	for cut := 1; cut < len(all); cut++ {
		s.deliver(c, all[:cut])
		c.sendf("%s", all[cut:])
		for _, f := range fragmented {
			c.wantReply(200, f.body)
		}
		front.get("/sub?cname=fa&seq=1").wantReply(200, fragmentedBacklog)
		s.call("/close?cname=fa")
	}
}

// TestManyPipelined: what came in one segment is answered in order, also behind an
// answer that another goroutine makes (broadcast).
func TestManyPipelined(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	var b strings.Builder
	const n = 1000
	for i := range n {
		fmt.Fprintf(&b, "GET /info?cname=%d HTTP/1.1\r\nHost: test\r\n\r\n", i)
		if i%100 == 50 {
			b.WriteString("GET /broadcast?content=x HTTP/1.1\r\nHost: test\r\n\r\n")
		}
	}
	c := dial(t, s.admin)
	c.sendf("%s", b.String())
	for i := range n {
		c.wantReply(200, fmt.Sprintf("{\"cname\": \"%d\", \"subscribers\": 0}\n", i))
		if i%100 == 50 {
			c.wantReply(200, "ok\n")
		}
	}
}

// TestErrorBehindBroadcast: also an error that ends the connection waits for its turn.
func TestErrorBehindBroadcast(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	const broadcast = "GET /broadcast?content=x HTTP/1.1\r\nHost: test\r\n"
	for range 20 {
		c := dial(t, s.admin)
		c.sendf("%s\r\n%s\r\nnonsense\r\n\r\n", broadcast, broadcast)
		c.wantReply(200, "ok\n")
		c.wantReply(200, "ok\n")
		c.wantError(400, "request line", true)

		c = dial(t, s.admin)
		c.sendf("%s\r\nPOST /push HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 16\r\n\r\n", broadcast)
		c.wantReply(200, "ok\n")
		if got := c.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("got %q", got)
		}
		c.sendf("cname=a&content=")
		c.wantReply(200, "{\"type\":\"ok\"}\n")

		c = dial(t, s.admin)
		c.sendf("%sConnection: close\r\n\r\nGET /info HTTP/1.1\r\nHost: test\r\n\r\n", broadcast)
		c.wantReply(200, "ok\n")
		c.expectEnd()
	}
}

// TestKeepAlive: as each version defines it.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, tc := range []struct {
		version, connection string
		keeps               bool
	}{
		{"1.1", "", true},
		{"1.1", "Connection: keep-alive\r\n", true},
		{"1.1", "Connection: Close\r\n", false},
		{"1.1", "Connection: foo, close\r\n", false},
		{"1.1", "Connection: foo\r\nConnection: CLOSE\r\n", false},
		{"1.1", "Connection: closed\r\n", true},
		{"1.0", "", false},
		{"1.0", "Connection: keep-alive\r\n", true},
		{"1.0", "Connection: foo , Keep-Alive\r\n", true},
		{"1.0", "Connection: keep-alive, close\r\n", false},
	} {
		for _, target := range []string{s.front + "/ping", s.front + "/nothing", s.admin + "/info", s.admin + "/push"} {
			addr, path, _ := strings.Cut(target, "/")
			c := dial(t, addr)
			request := fmt.Sprintf("GET /%s HTTP/%s\r\nHost: test\r\n%s\r\n", path, tc.version, tc.connection)
			c.sendf("%s", request)
			if r := c.reply(); r.close == tc.keeps {
				t.Errorf("%q: the answer says close %v (%v)", request, r.close, r.header["Connection"])
			}
			if !tc.keeps {
				c.expectEnd()
				continue
			}
			c.sendf("%s", request)
			c.reply()
		}
	}
}

// TestExpectContinue: the body is asked for when the head is good, and not when it
// is refused, is HTTP/1.0 or has come already.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	const head = "POST /push HTTP/1.%d\r\nHost: test\r\nConnection: keep-alive\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"
	const body, ok, please = "cname=e&content=x", "{\"type\":\"ok\"}\n", "HTTP/1.1 100 Continue\r\n\r\n"
	c := dial(t, s.admin)
	for range 2 {
		c.sendf(head, 1, len(body))
		if got := c.head(); got != please {
			t.Fatalf("got %q", got)
		}
		c.sendf("%s", body)
		c.wantReply(200, ok)
	}
	c.sendf(head+"%s", 1, len(body), body)
	c.wantReply(200, ok)
	c.sendf("POST /push HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	if got := c.head(); got != please {
		t.Fatalf("got %q", got)
	}
	c.sendf("11\r\n%s\r\n0\r\n\r\n", body)
	c.wantReply(200, ok)

	c.sendf(head, 0, len(body))
	c.sendf("%s", body)
	c.wantReply(200, ok)

	c.sendf(head, 1, 1<<20+1)
	c.wantError(413, "body", true)
}

// TestExpectContinueRefused: what the head alone gets refused for is answered at once,
// whatever it is, and no body is asked for (RFC 9110 section 10.1.1). The connection ends,
// since the body may come all the same.
func TestExpectContinueRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "admin.keys=k", "admin.hosts=known"))
	const key = "Authorization: Bearer k\r\n"
	for _, tc := range []struct {
		addr, line, host, fields string
		status                   int
		word                     string
	}{
		{s.admin, "POST /push", "strange", key, 403, "Host"},
		{s.admin, "POST /push", "known", "", 401, "key"},
		{s.admin, "POST /push", "known", key + "Origin: http://strange\r\n", 403, "origin"},
		{s.admin, "POST /nothing", "known", key, 404, "path"},
		{s.admin, "PUT /push", "known", key, 405, "GET, POST"},
		{s.admin, "HEAD /push", "known", key, 405, ""},
		{s.admin, "OPTIONS /push", "known", key, 405, "GET, POST"},
		{s.admin, "BREW /push", "known", key, 501, "method"},
		{s.admin, "POST /healthz", "strange", "", 405, "GET, HEAD"},
		{s.front, "PUT /poll", "any", "", 405, "GET, HEAD, POST, OPTIONS"},
		{s.front, "POST /ping", "any", "", 405, "GET, HEAD, OPTIONS"},
		{s.front, "POST /push", "any", "", 404, "path"},
	} {
		for _, length := range []string{"Content-Length: 7", "Transfer-Encoding: chunked"} {
			c := dial(t, tc.addr)
			c.sendf("%s HTTP/1.1\r\nHost: %s\r\n%sExpect: 100-continue\r\n%s\r\n\r\n", tc.line, tc.host, tc.fields, length)
			if strings.HasPrefix(tc.line, "HEAD") {
				if got := c.head(); !strings.HasPrefix(got, "HTTP/1.1 405 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
					t.Errorf("%s: %q", tc.line, got)
				}
				c.expectEnd()
				continue
			}
			c.wantError(tc.status, tc.word, true)
		}
	}
	// What takes no body, but is a call, is no reason to refuse.
	for _, line := range []string{"GET /ping", "HEAD /ping", "OPTIONS /ping"} {
		c := dial(t, s.front)
		c.sendf("%s HTTP/1.1\r\nHost: any\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n", line)
		if got := c.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("%s: %q", line, got)
		}
	}
}

// TestHeadIsGetsHead: HEAD gives the head of GET, no body, and the connection goes on.
func TestHeadIsGetsHead(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	for _, target := range []string{
		s.front + "/ping", s.front + "/ping?cb=", s.front + "/ping?cb=1", s.front + "/nothing",
		s.admin + "/healthz", s.admin + "/readyz", s.admin + "/", s.admin + "/dashboard/main.js", s.admin + "/dashboard/config", s.admin + "/dashboard/channels?sort=x",
		s.front + "/icomet.js", s.front + "/icomet.mjs",
		s.admin + "/info", s.admin + "/info?cname=a", s.admin + "/check?cname=a", s.admin + "/check", s.admin + "/check?cname=a&cb=f",
	} {
		addr, path, _ := strings.Cut(target, "/")
		c := dial(t, addr)
		c.get("/" + path)
		_, want := dateOf(t, c.head())
		c = dial(t, addr)
		for range 2 { // a body behind the first would be found at the second
			c.sendf("HEAD /%s HTTP/1.1\r\nHost: test\r\n\r\n", path)
			if _, got := dateOf(t, c.head()); got != want {
				t.Errorf("HEAD /%s: got %q, want %q", path, got, want)
			}
		}
	}
	// Answers whose length changes.
	for path, ctype := range map[string]string{"/stats": wire.ContentJSON, "/dashboard/channels": wire.ContentJSON, "/metrics": "text/plain; version=0.0.4"} {
		c := dial(t, s.admin)
		for _, connection := range []string{"keep-alive", "close"} {
			c.sendf("HEAD %s HTTP/1.1\r\nHost: test\r\nConnection: %s\r\n\r\n", path, connection)
			head := c.head()
			_, length, _ := strings.Cut(head, "\r\nContent-Length: ")
			if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "\r\nContent-Type: "+ctype) || length < "1" {
				t.Errorf("HEAD %s: %q", path, head)
			}
		}
		c.expectEnd()
	}
}

// TestHeadOfSubscribeSubscribesNobody: it creates no channel and no subscriber.
func TestHeadOfSubscribeSubscribesNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	for _, path := range []string{"/poll", "/sub", "/stream", "/sse", "/iframe"} {
		c.sendf("HEAD %s?cname=a&seq=1 HTTP/1.1\r\nHost: test\r\n\r\n", path)
		if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%s: %q", path, head)
		}
	}
	c.get("/ping?cb=").wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
	if got, want := s.call("/info"), `{"version": "`+wire.Version+`", "channels": 0, "subscribers": 0}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
