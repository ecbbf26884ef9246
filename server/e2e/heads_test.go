package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHeadOfPollIsGets: whatever decides the form of a poll's answer decides its HEAD.
func TestHeadOfPollIsGets(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.allow_origins=*,https://page.example"))
	for _, query := range []string{"/poll?cname=a", "/poll?cname=a&cb=", "/poll?cname=a&cb=f", "/sub?cname=a", "/sub?cname=a&cb=f", "/sub?cname=a&cb=",
		"/poll?cname=a&cb=1", "/sub?cname=a&cb=%", "/poll?cname=a&%63b="} {
		for _, origin := range []string{"Origin: https://page.example", "Origin: http://else.example"} {
			get, head := ask(t, s.front, "GET "+query, origin), ask(t, s.front, "HEAD "+query, origin)
			if get.StatusCode != head.StatusCode {
				t.Errorf("HEAD %s: %s, GET: %s", query, head.Status, get.Status)
			}
			for _, h := range []http.Header{get.Header, head.Header} {
				h.Del("Date")
				h.Del("Content-Length") // the answer to a HEAD of a poll is not made
			}
			if fmt.Sprint(get.Header) != fmt.Sprint(head.Header) {
				t.Errorf("HEAD %s: %v, GET: %v", query, head.Header, get.Header)
			}
		}
	}
}

// TestEmptyLineBeforeRequest: a line end that a client sends behind the body of a request is
// no request: the next one is answered, and meanwhile the connection is idle, not late.
func TestEmptyLineBeforeRequest(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "limits.request_timeout=500ms"))
	const ok = "{\"type\":\"ok\"}\n"
	c := dial(t, s.admin)
	push := post("/push", formBody, "cname=a&content=x")
	c.sendf("\r\n%s\r\n%s", push, push)
	c.wantReply(200, ok)
	c.wantReply(200, ok)
	for _, part := range []string{"\r", "\n", push[:10], push[10:]} {
		s.deliver(c, part)
	}
	c.wantReply(200, ok)
	s.deliver(c, "\r\n")
	sent := time.Now()
	checkFor(t, patience, func() error {
		if time.Since(sent) < 2*time.Second {
			return fmt.Errorf("the time of a request is not over")
		}
		return nil
	})
	c.sendf("%s", push)
	c.wantReply(200, ok)
	c.sendf("\r\n\r\n%s", push) // once is not twice
	c.wantError(400, "request line", true)
	front := dial(t, s.front)
	front.sendf("\r\nGET /ping?cb= HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /ping?cb= HTTP/1.1\r\nHost: h\r\n\r\n")
	front.wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
	front.wantReply(200, "{\"type\":\"ping\",\"sub_timeout\":30}\n")
}

// TestFragmentInTarget: on both ports and in each form of a target.
func TestFragmentInTarget(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, target := range []string{"/poll?cname=a#b", "/poll#?cname=a", "/#", "http://h/poll?cname=a#b"} {
		for _, addr := range []string{s.front, s.admin} {
			c := dial(t, addr)
			c.sendf("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target)
			c.wantError(400, "fragment", true)
		}
	}
}

// TestPathOfTheOtherPort: who has mixed up the ports is told so.
func TestPathOfTheOtherPort(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, path := range []string{"/sign", "/push", "/pub", "/broadcast", "/close", "/clear", "/info", "/check", "/psub", "/stats", "/metrics", "/healthz", "/"} {
		for _, method := range []string{"GET", "POST"} {
			c := dial(t, s.front)
			c.sendf("%s %s?cname=a&content=b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", method, path)
			c.wantError(404, "admin port (admin.listen)", false)
		}
	}
	for _, path := range []string{"/poll", "/sub", "/stream", "/sse", "/iframe", "/ping", "/icomet.js"} {
		dial(t, s.admin).get(path+"?cname=a").wantError(404, path+" is a path of the front port (front.listen)", false)
	}
	for _, addr := range []string{s.front, s.admin} {
		if _, body := s.request("GET", addr, "/nothing"); body != "there is no such path on this port\n" {
			t.Errorf("%q", body)
		}
	}
	if !strings.Contains(s.call("/info"), `"channels": 0`) {
		t.Error("something was done")
	}
}
