package e2e

import (
	"fmt"
	"strings"
	"testing"

	"icomet/server/config"
	"icomet/server/servertest"
)

func (s *testServer) post(path, ctype, body string) (status int, text string) {
	s.t.Helper()
	c := dial(s.t, s.front)
	defer c.Close()
	c.sendf("POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, ctype, len(body), body)
	return c.response()
}

func TestManyParameters(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Limits.ChannelsPerConnection = 3 })
	for _, name := range []string{"a", "b", "c", "d"} {
		s.push(name, "1", "2", "3")
	}
	const form, js = "application/x-www-form-urlencoded", "application/json"
	for _, tc := range []struct{ query, ctype, body, want string }{
		{query: "seq=3&cname=a&cname=b&seq=2", want: "a3 b2 b3"},
		{query: "seq=3&cname=a&seq=1&cname=b&seq=2", want: "a3 b2 b3"},
		{query: "cname=a&seq=3&cname=b&seq=2&seq=1", want: "a3 b2 b3"},
		{query: "cname=a&cname=b&seq=2", want: "next_seq:a4 b2 b3"},
		{query: "cname=a&last=1&cname=b&last=2&cname=c&seq=4", want: "a3 b2 b3"},
		{query: "cname=a&seq=3&noop=7&cname=b&seq=2&cname=c&seq=3", want: "a3 b2 b3 c3"},
		{query: "cname=b&epoch=&seq=3&cname=a&seq=3", want: "position:b3 b3 a3"},
		{query: "cname=b&seq=3&cname=a&epoch=&seq=3", want: "b3 position:a3 a3"},
		{query: "", ctype: form, body: "cname=a&seq=3&cname=b&seq=2", want: "a3 b2 b3"},
		{query: "cname=d&seq=1&cname=c&seq=2", ctype: form, body: "cname=a&seq=3&cname=b&seq=2", want: "a3 b2 b3"},
		{query: "cname=d&seq=1", ctype: form, body: "cname=a&seq=3&cname=b&seq=2", want: "a3 b2 b3"},
		{query: "cname=a&seq=3&cname=b&seq=2", ctype: form, body: "noop=3", want: "a3 b2 b3"},
		{query: "", ctype: js, body: `{"cname":"a","seq":3,"cname":"b","seq":2}`, want: "a3 b2 b3"},
		{query: "", ctype: js, body: `{"seq":3,"cname":"a","cname":"b","seq":"2"}`, want: "a3 b2 b3"},
		{query: "cname=a&seq=3&cname=a", want: "400 twice"},
		{query: "cname=a&seq=3&cname=%61", want: "400 twice"},
		{query: "cname=a&cname=b&cname=c&cname=d", want: "400 too many channels"},
		{query: "", ctype: form, body: "cname=a&cname=b&cname=c&cname=d&cname=e&cname=f", want: "400 too many channels"},
		{query: "cname=a&cname=", want: "400 cname"},
		{query: "cname=&cname=b", want: "400 cname"},
		{query: "cname=a&cname=%ff", want: "400 cname"},
		{query: "cname=a&cname=" + strings.Repeat("x", 256), want: "400 cname"},
		{query: "cname=a&cname=b&seq=x", want: "400 seq"},
		{query: "cname=a&seq=1&cname=b&epoch=xyz", want: "400 epoch"},
		{query: "cname=a&seq=1&cname=b&last=-1", want: "400 last"},
		{query: "cname=a&seq=1&cname=b&noop=x", want: "400 noop"},
		{query: "cname=a&raw=1&cname=b", want: "400 raw"},
	} {
		var status int
		var text string
		if tc.ctype == "" {
			status, text = s.request("GET", s.front, "/sub?"+tc.query)
		} else {
			status, text = s.post("/sub?"+tc.query, tc.ctype, tc.body)
		}
		if kind, part, bad := strings.Cut(tc.want, " "); kind == "400" && bad {
			if status != 400 || !strings.Contains(text, part) {
				t.Errorf("%s %s: %d %s, want %s", tc.query, tc.body, status, text, tc.want)
			}
			continue
		}
		var got []string
		ms, err := (&servertest.Subscriber{Kind: "sub"}).ParsePoll(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ms {
			name := fmt.Sprintf("%s%d", e.Cname, e.Seq)
			if e.Type != "data" {
				name = e.Type + ":" + name
			}
			got = append(got, name)
		}
		if status != 200 || strings.Join(got, " ") != tc.want {
			t.Errorf("%s %s: %d %v, want %s", tc.query, tc.body, status, got, tc.want)
		}
	}
	// How long a list may be follows from how many channels it may have.
	wide := startServer(t, func(c *config.Config) { c.Limits.ChannelsPerConnection = 1000 })
	wide.push("a", "1")
	for size, want := range map[int]int{500 << 10: 200, 501 << 10: 413} {
		if status, text := wide.post("/sub", form, "cname=a&seq=1&x="+strings.Repeat("x", size-20)); status != want {
			t.Errorf("a form of %d bytes: %d %s", size, status, text)
		}
	}
	for _, path := range []string{"/push?cname=a&content=first&cname=b", "/info?cname=a&cname=b", "/check?cname=a&cname=b", "/clear?cname=a&cname=b"} {
		if status, body := s.request("GET", s.admin, path); status != 200 || strings.Contains(body, `"b"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	checkFor(t, patience, s.checkIdle)
}

func TestManyRefusals(t *testing.T) {
	t.Parallel()
	class := config.ChannelClass{Match: "p*", BufferSize: 10, Timeout: 60, MaxSubscribers: 1, Auth: "token"}
	for _, kind := range openKinds {
		s := startServer(t, func(c *config.Config) { c.Channels = []config.ChannelClass{class} })
		var token string
		if _, err := fmt.Sscanf(s.call("/sign?cname=p1"), `{"type":"sign","cname":"p1","seq":1,"token":"%32s"`, &token); err != nil {
			t.Fatal(err)
		}
		m := s.many(kind, "cname=p1&seq=1&cname=b&seq=1&token="+token)
		m.expect("401 p1")
		s.push("b", "x")
		m.expect("b1=x")
		both := s.many(kind, "cname=p1&seq=1&token="+token+"&cname=b&seq=1&cname=p2&token="+token)
		both.expect("b1=x", "401 p2")
		s.push("p1", "secret")
		both.expect("p11=secret")
		full := s.many(kind, "cname=b&seq=1&cname=p1&seq=1&token="+token) // p1 has one already
		full.expect("b1=x", "429 p1")
		bearer := s.many(kind, "cname=b&cname=p1&seq=1", "Authorization: Bearer "+token+"\r\n")
		bearer.expect("next_seq b2", "429 p1")
		none := s.many(kind, "cname=p2&seq=1&cname=p3")
		none.expect("401 p2", "401 p3")
		none.expectOver()
		checkFor(t, patience, func() error {
			if n := s.hub.Subscribers(); n != 5 {
				return fmt.Errorf("%s: %d subscribers, want 5", kind, n)
			}
			return nil
		})
	}
	s := startServer(t, func(c *config.Config) { c.Channels = []config.ChannelClass{class}; c.Front.MaxChannels = 2 })
	m := s.many("sub", "cname=p1&cname=b&seq=1&cname=p2")
	if got := fmt.Sprint(m.answers()); got != "[401 p1 401 p2]" {
		t.Errorf("a poll gets %s", got)
	}
	m.Query = "cname=b&seq=1&cname=c&seq=1&cname=d&seq=1"
	if got := fmt.Sprint(m.answers()); got != "[429 d]" {
		t.Errorf("a poll gets %s", got)
	}
	m.Close()
	checkFor(t, patience, s.checkIdle)
}
