package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/servertest"
)

func (s *testServer) epochOf(cname string) string {
	s.t.Helper()
	var epoch string
	answer := s.call("/push?cname=" + cname + "&content=epoch&position=1")
	_, rest, _ := strings.Cut(answer, `"epoch":"`)
	if epoch, _, _ = strings.Cut(rest, `"`); len(epoch) != 8 {
		s.t.Fatal(answer)
	}
	return epoch
}

// withID reads the chunks of a response until one has an event id.
func (m *many) withID() (chunks int, id string) {
	m.t.Helper()
	for m.LastID = ""; m.LastID == ""; chunks++ {
		if _, err := m.Messages(); err != nil {
			m.t.Fatal(err)
		}
	}
	return chunks, m.LastID
}

// TestManyEventID: what leaves in one write has one event id, at its end, with the position
// of each channel in the order of the URL.
func TestManyEventID(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	a, b, c := s.epochOf("a"), s.epochOf("b"), s.epochOf("c")
	s.push("a", "2")
	m := s.many("sse", "cname=b&seq=1&cname=a&seq=1&cname=c&seq=2")
	m.expect("b1=epoch", "a1=epoch")
	if m.LastID != "" {
		t.Errorf("an id %q before the last event of a write", m.LastID)
	}
	m.expect("a2=2")
	want := func(format string, args ...any) {
		t.Helper()
		if id := fmt.Sprintf(format, args...); m.LastID != id {
			t.Errorf("the id is %q, want %q", m.LastID, id)
		}
		m.LastID = ""
	}
	want("%s-1,%s-2,%s-1", b, a, c)
	s.push("c", "2")
	m.expect("c2=2")
	want("%s-1,%s-2,%s-2", b, a, c)
	s.call("/broadcast?content=x")
	for range 3 {
		m.expectAny("broadcast", "next_seq")
	}
	want("%s-2,%s-3,%s-3", b, a, c)
	release := s.pauseAll()
	for _, name := range []string{"a", "c", "a"} {
		if _, err := s.hub.Publish(&channel.Publication{Name: []byte(name), Content: "y"}); err != nil {
			t.Fatal(err)
		}
	}
	release()
	chunks, id := m.withID()
	if want := fmt.Sprintf("%s-2,%s-5,%s-4", b, a, c); chunks != 3 || id != want {
		t.Errorf("%d chunks, id %q, want %q", chunks, id, want)
	}
	s.call("/close?cname=a")
	m.LastID = ""
	m.expect("close a6")
	want("")
	s.push("b", "3")
	m.expect("b3=3")
	want("%s-3,%s-5,%s-4", b, a, c)
}

// expectAny reads one message of each of the types, in order.
func (m *many) expectAny(types ...string) {
	m.t.Helper()
	for _, want := range types {
		ms, err := m.Messages()
		if err != nil || ms[0].Type != want {
			m.t.Fatalf("%s: %+v, %v, want a %s", m.Kind, ms, err, want)
		}
	}
}

// TestManyResume: a bare EventSource that comes back loses nothing, by field and by query.
func TestManyResume(t *testing.T) {
	t.Parallel()
	class := config.ChannelClass{Match: "p*", BufferSize: 10, Timeout: 60, MaxSubscribers: 10, Auth: "token"}
	s := startServer(t, func(c *config.Config) {
		c.Channels = []config.ChannelClass{class}
		c.Front.ChannelBufferSize = 4
	})
	again := func(kind, query, id string) []*many {
		return []*many{
			s.many(kind, query, "Last-Event-ID: "+id+"\r\n"),
			s.many(kind, query+"&lastEventId="+url.QueryEscape(id)),
			s.many(kind, "Last-Event-ID="+url.QueryEscape(id)+"&"+query),
		}
	}
	a, b := s.epochOf("a"), s.epochOf("b")

	const query = "cname=a&cname=b&cname=p&seq=9&cname=none"
	m := s.many("sse", query)
	m.expect("next_seq a2", "next_seq b2", "401 p", "next_seq none1")
	s.push("a", "2")
	m.expect("a2=2")
	id := m.LastID
	if !strings.HasPrefix(id, a+"-2,"+b+"-1,") {
		t.Errorf("the id is %q", id)
	}
	m.Close()
	s.push("b", "2", "3")
	s.push("none", "1")
	for i, m := range again("sse", query, id) {
		m.expect("b2=2", "b3=3", "401 p", "none1=1")
		if m.LastID == "" {
			t.Errorf("%d: no id", i)
		}
		m.Close()
	}
	// The buffer has lost some: said as of one channel.
	s.push("a", "3", "4", "5", "6", "7")
	for _, m := range again("sse", query, id) {
		m.expect("position a4 false 1 trimmed", "a4=4", "a5=5", "a6=6", "a7=7", "b2=2", "b3=3", "401 p", "none1=1")
		m.Close()
	}
	// A channel of another life.
	s.call("/close?cname=b")
	s.push("b", "new")
	for _, m := range again("sse", "cname=a&cname=b", a+"-7,"+b+"-3") {
		m.expect("position b1 false -1 epoch", "b1=new")
		m.Close()
	}
	// What does not fit is ignored whole.
	for _, id := range []string{
		a + "-1", a + "-1," + b + "-1," + a + "-1", "", ",", "x,y", a + "-1,", "3,4", a + "-1,7",
		a + "-1," + b, a + "-1," + b + "-", a + "-1," + b + "-x", strings.ToUpper(a) + "x-1," + b + "-1",
	} {
		for _, m := range again("sse", "cname=a&seq=7&cname=b&seq=2", id) {
			m.expect("a7=7")
			m.Close()
		}
	}
	// What a refused channel has had comes back too.
	had := s.many("sse", "cname=p&seq=5&epoch=0123abcd&cname=a&seq=7&cname=q")
	had.expect("401 p", "a7=7", "next_seq q1")
	if want := fmt.Sprintf("0123abcd-4,%s-7,", a); !strings.HasPrefix(had.LastID, want) {
		t.Errorf("the id is %q, want %q", had.LastID, want)
	}
	had.Close()
	// The other transports know no event ids.
	for _, kind := range []string{"stream", "iframe", "ws"} {
		m := s.many(kind, "cname=a&seq=7&cname=b&seq=2", "Last-Event-ID: "+a+"-4,"+b+"-1\r\n")
		m.expect("a7=7")
	}
}

// TestManyWithoutIDs: beyond 100 channels there are no event ids.
func TestManyWithoutIDs(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Limits.ChannelsPerConnection = 10_000 })
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "&cname=c%d&seq=1", i)
		}
		return b.String()[1:]
	}
	s.push("c99", "x")
	m := s.many("sse", names(100))
	m.expect("c991=x")
	if n := strings.Count(m.LastID, ","); n != 99 {
		t.Errorf("%d commas in %q", n, m.LastID)
	}
	parts := strings.Split(m.LastID, ",")
	if parts[0] == "" || !strings.HasSuffix(parts[0], "-0") || !strings.HasSuffix(parts[99], "-1") {
		t.Errorf("the id is %q", m.LastID)
	}
	last := m.LastID
	m.Close()
	s.push("c0", "y")
	back := s.many("sse", names(100), "Last-Event-ID: "+last+"\r\n")
	back.expect("c01=y")
	back.Close()
	m = s.many("sse", names(101))
	m.expect("c01=y", "c991=x")
	if m.LastID != "" {
		t.Errorf("101 channels have the id %q", m.LastID)
	}
	m.Close()
	// A list that no URL could hold comes in a body.
	for _, path := range []string{"/sub", "/stream"} {
		c := dial(t, s.front)
		body := names(3000)
		c.sendf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		c.until(`"cname":"c99","seq":1,"content":"x"`)
		if path == "/stream" {
			s.push("c2999", "far")
			c.until(`"cname":"c2999","seq":1,"content":"far"`)
		}
		c.Close()
	}
	checkFor(t, patience, s.checkIdle)
}

// TestManyInOneWrite: what several channels bring in one run leaves in one write.
func TestManyInOneWrite(t *testing.T) {
	t.Parallel()
	for _, kind := range openKinds {
		s := startServer(t, func(c *config.Config) { c.Runtime.EventLoops = 1 })
		m := s.many(kind, "cname=a&cname=b&cname=c")
		m.expect("next_seq a1", "next_seq b1", "next_seq c1")
		before := segmentsIn(t, &client{m.Conn, t})
		release := s.pauseAll()
		for i := range 10 {
			for _, name := range []string{"a", "b", "c"} {
				p := channel.Publication{Name: []byte(name), Content: fmt.Sprint(i)}
				if _, err := s.hub.Publish(&p); err != nil {
					t.Fatal(err)
				}
			}
		}
		release()
		next := map[string]int64{"a": 1, "b": 1, "c": 1}
		for range 30 {
			ms, err := m.Messages()
			if err != nil || ms[0].Seq != next[ms[0].Cname] {
				t.Fatalf("%s: %v, %v; next %v", kind, ms, err, next)
			}
			next[ms[0].Cname]++
		}
		if n := segmentsIn(t, &client{m.Conn, t}) - before; n != 1 {
			t.Errorf("%s: 30 messages came in %d writes", kind, n)
		}
	}
}

// TestManyLongBacklogs: backlogs of several channels that fit into no write, for quick and
// slow readers, while more is published.
func TestManyLongBacklogs(t *testing.T) {
	t.Parallel()
	const first, more, size = 20, 5, 20_000
	for _, kind := range servertest.AllKinds {
		s := startServer(t, func(c *config.Config) {
			c.Limits.SendBuffer = 4096
			c.Limits.OutboundBuffer = 1 << 20
			c.Front.ChannelBufferSize = 100
		})
		for i := range first {
			for _, name := range []string{"a", "b", "c"} {
				publishLarge(s, name, i+1, size)
			}
		}
		for _, rcvbuf := range []int{0, 4096} {
			nc, err := servertest.DialNarrow(s.front, rcvbuf)
			if err != nil {
				t.Fatal(err)
			}
			f, err := servertest.SubscribeQuery(nc, kind, "cname=a&seq=1&cname=b&seq=5&cname=c&seq=1&cname=live&seq=1", "")
			if err != nil {
				t.Fatal(err)
			}
			next := map[string]int64{"a": 1, "b": 5, "c": 1, "live": 1}
			var last map[string]int64
			polls := kind == "poll" || kind == "sub"
			if rcvbuf > 0 && !polls {
				s.waitSubscribers("a", 1) // it has begun, and does not read
				for i := range more {
					for _, name := range []string{"a", "b", "c"} {
						publishLarge(s, name, first+i+1, size)
					}
					publishLarge(s, "live", i+1, 100)
				}
				last = map[string]int64{"a": first + more + 1, "b": first + more + 1, "c": first + more + 1, "live": more + 1}
			} else {
				last = map[string]int64{"a": first + 1, "b": first + 1, "c": first + 1, "live": 1}
			}
			for fmt.Sprint(next) != fmt.Sprint(last) {
				if polls {
					f.Query = fmt.Sprintf("cname=a&seq=%d&cname=b&seq=%d&cname=c&seq=%d&cname=live&seq=1", next["a"], next["b"], next["c"])
				}
				ms, err := f.Messages()
				if err != nil {
					t.Fatalf("%s: %v; next %v, last %v", kind, err, next, last)
				}
				for _, m := range ms {
					if m.Type != "data" || m.Seq != next[m.Cname] || !strings.HasSuffix(m.Content, fmt.Sprint("0", m.Seq)) {
						t.Fatalf("%s: %s %s %d, next %v", kind, m.Type, m.Cname, m.Seq, next)
					}
					next[m.Cname]++
				}
			}
			f.Close()
			s.waitSubscribers("a", 0)
		}
		checkFor(t, patience, s.checkIdle)
	}
}
