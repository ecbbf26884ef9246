package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// fetch gets a page on its own connection.
func fetch(t *testing.T, address string) string {
	t.Helper()
	_, body, err := servertest.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// memoryStats is the part of /stats about memory.
type memoryStats struct {
	Channels int
	Refused  map[string]uint64 `json:"refused_total_by_reason"`
	Runtime  struct {
		RSS      uint64 `json:"rss_bytes"`
		Used     uint64 `json:"memory_used_bytes"`
		Limit    uint64 `json:"memory_limit_bytes"`
		Refusing bool   `json:"refusing_for_memory"`
	}
}

func memoryOf(t *testing.T, admin string) (m memoryStats) {
	t.Helper()
	if err := json.Unmarshal([]byte(fetch(t, "http://"+admin+"/stats")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMemoryRunsShort: channels are created until the server refuses more, long before
// the memory is used up. Present clients are served, newcomers are refused, and when the
// channels have expired there is room again without help.
func TestMemoryRunsShort(t *testing.T) {
	t.Parallel()
	const limit = 40 << 20
	d := start(t, nil, writeConfig(t, `runtime.memory_limit = "40MiB"`, "front.polling_timeout = 3600", "front.channel_timeout = 15", "front.channel_buffer_size = 2", "runtime.event_loops = 2"))
	front, admin := d.Address("front"), d.Address("admin")
	if m := memoryOf(t, admin); m.Runtime.Limit != limit || m.Runtime.Refusing || m.Runtime.Used == 0 {
		t.Fatalf("at the start: %+v", m)
	}
	stream, err := http.Get("http://" + front + "/stream?cname=held&seq=1")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	poll := newRawClient(t, front)
	poll.ask("/sub?cname=held&seq=1")

	client := http.Client{Timeout: startLimit}
	defer client.CloseIdleConnections()
	push := func(name, content string) (int, string) {
		t.Helper()
		resp, err := client.PostForm("http://"+admin+"/push", url.Values{"cname": {name}, "content": {content}})
		if err != nil {
			t.Fatalf("the server has gone: %v\n%s", err, d.Log)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	content := strings.Repeat("x", 64<<10)
	refused := 0
	for i := 0; refused == 0; i++ {
		if i > 10*limit/len(content) {
			t.Fatalf("ten times the limit was taken: %+v", memoryOf(t, admin))
		}
		status, body := push(fmt.Sprint("fill", i), content)
		switch {
		case status == 503 && strings.Contains(body, "memory_limit"):
			refused = i
		case status != 200:
			t.Fatalf("channel %d: %d %q", i, status, body)
		}
	}
	// The server checks every 100 ms, in which this client brings some 10 MB.
	if m := memoryOf(t, admin); !m.Runtime.Refusing || m.Runtime.Used > limit*5/4 || m.Runtime.RSS > 2*limit && !servertest.RaceEnabled() {
		t.Errorf("refused after %d channels: %+v", refused, m)
	}
	// Newcomers are refused, each in the form of its transport.
	for _, path := range []string{"/sub?cname=new", "/sub?cname=held", "/stream?cname=held"} {
		if got := fetch(t, "http://"+front+path); !strings.Contains(got, `{"type":"429"`) {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := fetch(t, "http://"+admin+"/sign?cname=new"); !strings.Contains(got, "memory_limit") {
		t.Errorf("/sign: %q", got)
	}
	// Present subscribers continue, and a poll can come back.
	if status, body := push("held", "still here"); status != 200 {
		t.Errorf("to a channel that is there: %d %q", status, body)
	}
	line := make([]byte, 60)
	if _, err := io.ReadFull(stream.Body, line); err != nil || !strings.Contains(string(line), "still here") {
		t.Errorf("the stream got %q, %v", line, err)
	}
	poll.want("still here")
	poll.ask("/sub?cname=held&seq=2")
	if status, _ := push("held", "again"); status != 200 {
		t.Errorf("%d", status)
	}
	poll.want("again")

	// The channels expire, and nothing else happens, not even a request, whose garbage
	// would cause a collection.
	d.WaitLog("memory is there again", 1)
	if status, body := push("afterwards", "x"); status != 200 {
		t.Errorf("afterwards: %d %q", status, body)
	}
	m := memoryOf(t, admin)
	if m.Runtime.Refusing || m.Refused["memory"] < 3 || m.Refused["http_503"] == 0 {
		t.Errorf("afterwards: %+v", m)
	}
}

// rawClient polls on one connection.
type rawClient struct {
	t *testing.T
	*servertest.Conn
}

func newRawClient(t *testing.T, addr string) *rawClient {
	t.Helper()
	c, err := servertest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawClient{t, c}
}

func (c *rawClient) ask(path string) {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
}

// want reads an answer and checks that it has the text.
func (c *rawClient) want(text string) {
	c.t.Helper()
	_ = c.SetDeadline(time.Now().Add(servertest.Patience))
	_, body, err := c.Answer()
	if err != nil || !strings.Contains(body, text) {
		c.t.Errorf("got %q, %v, want %q", body, err, text)
	}
}
