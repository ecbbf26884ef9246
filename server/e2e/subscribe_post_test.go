package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// posted sends a subscription as a form or JSON, with its body in one piece or chunked.
func posted(c *client, path, ctype, body string, chunked bool) {
	c.t.Helper()
	if chunked {
		half := len(body) / 2
		c.sendf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", path, ctype, half, body[:half])
		c.sendf("%x\r\n%s\r\n0\r\n\r\n", len(body)-half, body[half:])
		return
	}
	c.sendf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, ctype, len(body), body)
}

// TestSubscribeByPost: the parameters may come in a body, which wins over the query.
func TestSubscribeByPost(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	const form, json = "application/x-www-form-urlencoded", "application/json"
	for _, transport := range transports {
		for _, tc := range []struct{ query, ctype, body string }{
			{"", form, "cname=a&seq=1"}, {"?cname=b&seq=7", form, "seq=1&cname=a"}, {"", json, `{"cname":"a","seq":1}`}, {"?cname=a&seq=1", "text/plain", "whatever"},
		} {
			for _, chunked := range []bool{false, true} {
				c := dial(t, s.front)
				posted(c, "/"+transport+tc.query, tc.ctype, tc.body, chunked)
				if got := c.until(`"content":"x"`); !strings.Contains(got, "200 OK") || !strings.Contains(got, `"cname":"a","seq":1`) {
					t.Errorf("%s %q %q: %q", transport, tc.query, tc.body, got)
				}
				c.Close()
			}
		}
	}
}

// TestSubscribeByPostRefused: what is no form, and what is too large, gets a clear answer,
// and nothing is subscribed.
func TestSubscribeByPostRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	const form = "application/x-www-form-urlencoded"
	for _, tc := range []struct {
		ctype, body string
		status      int
	}{
		{"text/plain", "cname=a", 415}, {form, `{"cname":"a"}`, 415}, {form, "seq=1", 400}, {"application/json", `{"cname":["a"]}`, 400},
		{form, "cname=a&x=" + strings.Repeat("x", 64<<10), 413},
	} {
		for _, chunked := range []bool{false, true} {
			c := dial(t, s.front)
			posted(c, "/stream", tc.ctype, tc.body, chunked)
			if status, body := c.response(); status != tc.status {
				t.Errorf("%s %.20q, chunked %v: %d %s", tc.ctype, tc.body, chunked, status, body)
			}
			c.Close()
		}
	}
	if n := s.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscribers", n)
	}
	// A waiting poll's connection goes on.
	c := dial(t, s.front)
	posted(c, "/sub", form, "cname=a&seq=1", false)
	s.waitSubscribers("a", 1)
	s.call("/push?cname=a&content=y")
	c.wantReply(200, `{"type":"data","cname":"a","seq":1,"content":"y"}`+"\n")
	posted(c, "/sub", form, fmt.Sprintf("cname=a&seq=%d", 1), true)
	c.wantReply(200, `[{"type":"data","cname":"a","seq":1,"content":"y"}]`+"\n")
}
