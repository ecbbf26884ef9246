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
// TestManyParameters: whose a parameter is, and what cannot be.
// TestManyRefusals: a refused channel says so and costs nothing else.
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
		resp, err := http.Get(servertest.URL(s.front) + "/sse?" + query)
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
