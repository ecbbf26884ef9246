package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/servertest"
)

// openKinds are the ways to subscribe with a response that stays open.
var openKinds = []string{"stream", "stream10", "sse", "iframe", "ws"}

// many is a subscriber of several channels.
type many struct {
	*servertest.Subscriber
	t testing.TB
}

func (s *testServer) many(kind, query string, fields ...string) *many {
	s.t.Helper()
	c, err := servertest.Dial(s.front)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	f, err := servertest.SubscribeQuery(c, kind, query, strings.Join(fields, ""))
	if err != nil {
		s.t.Fatalf("%s of %s: %v", kind, query, err)
	}
	return &many{f, s.t}
}

// short is a message as the tests write it.
func short(m servertest.Message) string {
	switch m.Type {
	case "data":
		return fmt.Sprintf("%s%d=%s", m.Cname, m.Seq, m.Content)
	case "position":
		return strings.TrimSuffix(fmt.Sprintf("position %s%d %v %d %s", m.Cname, m.Seq, m.Recovered, m.Lost, m.Reason), " ")
	case "401", "429", "400":
		return m.Type + " " + m.Cname
	}
	return strings.TrimSuffix(fmt.Sprintf("%s %s%d %s", m.Type, m.Cname, m.Seq, m.Content), " ")
}

// expect reads messages and compares them, in their short form, in this order.
func (m *many) expect(want ...string) {
	m.t.Helper()
	var got []string
	for len(got) < len(want) {
		ms, err := m.Messages()
		for _, one := range ms {
			got = append(got, short(one))
		}
		if err != nil {
			m.t.Fatalf("%s: %v after %q, want %q", m.Kind, err, got, want)
		}
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("%s: got %q, want %q", m.Kind, got, want)
	}
}

// expectOver wants a clean end.
func (m *many) expectOver() {
	m.t.Helper()
	if ms, err := m.Messages(); err != io.EOF {
		m.t.Fatalf("%s: %+v, %v instead of a clean end", m.Kind, ms, err)
	}
}

// answers is what one poll gets, in short.
func (m *many) answers() (got []string) {
	m.t.Helper()
	ms, err := m.Messages()
	if err != nil {
		m.t.Fatalf("%s: %v", m.Kind, err)
	}
	for _, one := range ms {
		got = append(got, short(one))
	}
	return got
}

func (s *testServer) push(cname string, contents ...string) {
	s.t.Helper()
	for _, content := range contents {
		s.call("/push?cname=" + cname + "&content=" + content)
	}
}

// TestManyOpen: what is stored of each channel, in the order of the names, then what is
// published; each message says its channel.
func TestManyOpen(t *testing.T) {
	t.Parallel()
	for _, kind := range openKinds {
		s := startServer(t, nil)
		s.push("a", "x", "y")
		s.push("b", "z")
		m := s.many(kind, "cname=a&seq=2&cname=b&seq=1&cname=c")
		m.expect("a2=y", "b1=z", "next_seq c1")
		s.push("c", "1")
		s.push("a", "2")
		s.call("/broadcast?content=all")
		m.expect("c1=1", "a3=2")
		got := make(map[string]bool)
		for len(got) < 6 {
			ms, err := m.Messages()
			if err != nil {
				t.Fatalf("%s: %v after %v", kind, err, got)
			}
			for _, one := range ms {
				got[short(one)] = true
			}
		}
		for _, want := range []string{"broadcast a4 all", "next_seq a5", "broadcast b2 all", "next_seq b3", "broadcast c2 all", "next_seq c3"} {
			if !got[want] {
				t.Errorf("%s: no %q in %v", kind, want, got)
			}
		}
		if n := s.hub.Subscribers(); n != 3 {
			t.Errorf("%s: %d subscribers", kind, n)
		}
		if n := s.frontConns(); n != 1 {
			t.Errorf("%s: %d connections", kind, n)
		}
		m.Close()
		checkFor(t, patience, s.checkIdle)
	}
}

// TestManyPoll: what is stored at once, in an array; else the first that comes, or an
// array of what comes together.
func TestManyPoll(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"poll", "sub"} {
		s := startServer(t, nil)
		s.push("a", "x", "y")
		s.push("b", "z")
		m := s.many(kind, "cname=a&seq=1&cname=b&seq=1")
		if got := fmt.Sprint(m.answers()); got != "[a1=x a2=y b1=z]" {
			t.Errorf("%s: %s", kind, got)
		}
		m.Query = "cname=a&seq=3&cname=b&seq=1"
		if got := fmt.Sprint(m.answers()); got != "[b1=z]" {
			t.Errorf("%s: %s", kind, got)
		}
		m.Query = "cname=a&cname=b"
		if got := fmt.Sprint(m.answers()); got != "[next_seq a3 next_seq b2]" {
			t.Errorf("%s: %s", kind, got)
		}
		wait := func() {
			if err := m.Request(); err != nil {
				t.Fatal(err)
			}
			s.waitSubscribers("a", 1)
			s.waitSubscribers("b", 1)
		}
		answer := func(want string) {
			t.Helper()
			text, err := m.PollAnswer()
			if err != nil {
				t.Fatal(err)
			}
			ms, err := m.ParsePoll(text)
			var got []string
			for _, one := range ms {
				got = append(got, short(one))
			}
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("%s: %v, %v; want %s", kind, got, err, want)
			}
			if list := strings.Contains(text, "["); list != (len(ms) > 1) {
				t.Errorf("%s: %d messages: %s", kind, len(ms), text)
			}
			s.waitSubscribers("a", 0)
			s.waitSubscribers("b", 0)
		}
		m.Query = "cname=a&seq=3&cname=b&seq=2"
		wait()
		s.push("b", "one")
		answer("[b2=one]")
		m.Query = "cname=a&seq=3&cname=b&seq=3"
		wait()
		release := s.pauseAll()
		for _, name := range []string{"a", "b"} {
			if _, err := s.hub.Publish(&channel.Publication{Name: []byte(name), Content: "both"}); err != nil {
				t.Fatal(err)
			}
		}
		release()
		answer("[a3=both b3=both]")
		m.Query = "cname=a&seq=4&cname=b&seq=4"
		wait()
		release = s.pauseAll()
		if _, err := s.hub.Publish(&channel.Publication{Name: []byte("b"), Content: "1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.hub.Close([]byte("a")); err != nil {
			t.Fatal(err)
		}
		release()
		answer("[b4=1 close a4]")
	}
}

// post asks for channels in a body.
func (s *testServer) post(path, ctype, body string) (status int, text string) {
	s.t.Helper()
	c := dial(s.t, s.front)
	defer c.Close()
	c.sendf("POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, ctype, len(body), body)
	return c.response()
}

// TestManyParameters: whose a parameter is, and what cannot be.
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
	for _, path := range []string{"/push?cname=a&content=first&cname=b", "/info?cname=a&cname=b", "/check?cname=a&cname=b", "/clear?cname=a&cname=b"} {
		if status, body := s.request("GET", s.admin, path); status != 200 || strings.Contains(body, `"b"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	checkFor(t, patience, s.checkIdle)
}

// TestManyRefusals: a refused channel says so and costs nothing else.
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

// TestManyEnds: close and end cost their channel; with the last the response ends.
func TestManyEnds(t *testing.T) {
	t.Parallel()
	for _, kind := range openKinds {
		s := startServer(t, nil)
		m := s.many(kind, "cname=a&seq=1&cname=b&seq=1&cname=c&seq=1")
		s.call("/close?cname=b")
		m.expect("close b1")
		s.push("b", "again")
		s.push("a", "x")
		m.expect("a1=x")
		s.call("/end?cname=a&content=last")
		m.expect("a2=last", "end a3")
		s.push("c", "y")
		m.expect("c1=y")
		s.call("/end?cname=c")
		m.expect("end c2")
		m.expectOver()
		if kind == "stream" || kind == "sse" || kind == "iframe" { // the connection goes on
			(&client{m.Conn, t}).get("/ping?cb=on").expectAnswers("on(")
		} else {
			(&client{m.Conn, t}).expectEnd()
		}
		late := s.many(kind, "cname=a&seq=1&cname=c&seq=2")
		late.expect("a1=x", "a2=last", "end a3", "end c2")
		late.expectOver()
		closed := s.many(kind, "cname=b&seq=2&cname=d&seq=1")
		s.call("/close?cname=d")
		s.call("/close?cname=b")
		closed.expect("close d1", "close b2")
		closed.expectOver()
	}
	s := startServer(t, nil)
	s.call("/end?cname=a&content=last")
	m := s.many("sub", "cname=a&seq=1&cname=b&seq=1")
	if got := fmt.Sprint(m.answers()); got != "[a1=last end a2]" {
		t.Errorf("a poll gets %s", got)
	}
	m.Query = "cname=a&seq=2&cname=b&seq=1"
	if got := fmt.Sprint(m.answers()); got != "[end a2]" {
		t.Errorf("a poll gets %s", got)
	}
}

// TestManyAllHad: an EventSource that has had all of channels that have ended is stopped.
func TestManyAllHad(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/end?cname=a&content=last")
	s.call("/end?cname=b&content=last")
	first := s.many("sse", "cname=a&seq=1&cname=b&seq=1")
	first.expect("a1=last", "end a2", "b1=last", "end b2")
	first.expectOver()
	for query, want := range map[string]int{
		"cname=a&seq=2&cname=b&seq=2":                                     204,
		"cname=a&seq=2&cname=b&seq=1":                                     200,
		"cname=a&seq=2&cname=b&seq=2&cname=c":                             0, // stays open
		"cname=a&seq=0&cname=b&seq=2":                                     200,
		"cname=a&seq=1&cname=b&seq=1&Last-Event-ID=" + first.LastID:       204,
		"cname=a&seq=1&cname=b&seq=1&last_event_id=" + "deadbeef-3," + "": 200,
	} {
		if want == 0 {
			s.many("sse", query).expect("end a2", "end b2")
			continue
		}
		resp, err := http.Get("http://" + s.front + "/sse?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", query, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestManyHeartbeat: one for the connection, with the name of the first that is left.
func TestManyHeartbeat(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.PollingTimeout = 1 })
	all := make(map[string]*many)
	for _, kind := range openKinds {
		all[kind] = s.many(kind, "noop=7&cname="+kind+"-a&seq=1&cname="+kind+"-b&seq=1")
	}
	for kind, m := range all {
		first, second := kind+"-a", kind+"-b"
		m.expect("noop "+first+"7", "noop "+first+"8")
		s.call("/close?cname=" + first)
		noop := 9
		for ms, err := m.Messages(); ms[0].Type != "close"; ms, err = m.Messages() {
			if err != nil || short(ms[0]) != fmt.Sprintf("noop %s%d", first, noop) {
				t.Fatalf("%s: %v, %v", kind, ms, err)
			}
			noop++
		}
		m.expect(fmt.Sprintf("noop %s%d", second, noop))
	}
	m := s.many("sub", "cname=x&seq=1&cname=y&seq=1&noop=3")
	if got := fmt.Sprint(m.answers()); got != "[noop x3]" {
		t.Errorf("a poll gets %s", got)
	}
	empty := s.many("ws", "noop=5")
	empty.expect("noop 5", "noop 6")
}
