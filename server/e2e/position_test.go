package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"icomet/channel"
	"icomet/server/config"
	"icomet/server/servertest"
)

// element is a message with what a position adds.
type element struct {
	Type      string `json:"type"`
	Seq       int64  `json:"seq"`
	Content   string `json:"content"`
	Epoch     string `json:"epoch"`
	Recovered *bool  `json:"recovered"`
	Lost      *int64 `json:"lost"`
	Reason    string `json:"reason"`
}

// elements reads the messages of a body in any transport's form, up to its end.
func elements(t *testing.T, transport string, body io.Reader) (all []element) {
	t.Helper()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("/%s: %v", transport, err)
	}
	add := func(line string) {
		var e element
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("/%s: %q: %v", transport, line, err)
		}
		all = append(all, e)
	}
	if transport == "sub" {
		if text[0] != '[' {
			text = fmt.Appendf(nil, "[%s]", text)
		}
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatalf("/%s: %v", transport, err)
		}
		return all
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch transport {
		case "stream":
			add(line)
		case "sse":
			if line, ok := strings.CutPrefix(line, "data: "); ok {
				add(line)
			}
		case "iframe":
			if line, ok := strings.CutPrefix(line, "<script>parent.icomet_cb("); ok {
				add(strings.TrimSuffix(line, ");</script>"))
			}
		}
	}
	return all
}

func (s *testServer) getBody(path string) io.Reader {
	s.t.Helper()
	client := &http.Client{Timeout: patience}
	resp, err := client.Get(servertest.URL(s.front) + path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: %d", path, resp.StatusCode)
	}
	return resp.Body
}

// TestLongBacklogOfAnEndedChannel: a backlog that goes out in pieces has its position
// before it and the end behind it, as a short one has.
func TestLongBacklogOfAnEndedChannel(t *testing.T) {
	t.Parallel()
	const stored, size = 40, 20_000
	s := startServer(t, func(c *config.Config) { c.Front.ChannelBufferSize = stored })
	for i := range stored + 3 {
		publishLarge(s, "a", i, size)
	}
	s.call("/end?cname=a")
	for _, transport := range []string{"sub", "stream", "sse", "iframe"} {
		got := elements(t, transport, s.getBody("/"+transport+"?cname=a&seq=2&epoch="))
		if len(got) != stored+2 {
			t.Fatalf("/%s: %d messages", transport, len(got))
		}
		first, last := got[0], got[stored+1]
		if first.Type != "position" || first.Seq != 4 || *first.Recovered || *first.Lost != -1 || first.Reason != "epoch" {
			t.Errorf("/%s begins with %+v", transport, first)
		}
		for i, e := range got[1 : stored+1] {
			if e.Type != "data" || e.Seq != int64(i+4) || len(e.Content) != size {
				t.Fatalf("/%s: message %d is %s %d with %d bytes", transport, i, e.Type, e.Seq, len(e.Content))
			}
		}
		if last.Type != "end" || last.Seq != stored+4 {
			t.Errorf("/%s ends with %+v", transport, last)
		}
		got = elements(t, transport, s.getBody("/"+transport+"?cname=a&seq=1&epoch="+first.Epoch))
		if *got[0].Recovered || *got[0].Lost != 3 || got[0].Reason != "trimmed" {
			t.Errorf("/%s begins with %+v, lost %d", transport, got[0], *got[0].Lost)
		}
		got = elements(t, transport, s.getBody("/"+transport+"?cname=a&seq=4"))
		if len(got) != stored+1 || got[0].Seq != 4 || got[stored].Type != "end" {
			t.Errorf("/%s without a position: %d messages, the first %d, the last %s", transport, len(got), got[0].Seq, got[len(got)-1].Type)
		}
	}
	raw := bufio.NewScanner(s.getBody("/stream?cname=a&seq=4&raw=1"))
	n := 0
	for raw.Buffer(nil, 1<<20); raw.Scan(); n++ {
		if len(raw.Text()) != size {
			t.Fatalf("raw line %d has %d bytes", n, len(raw.Text()))
		}
	}
	if n != stored {
		t.Errorf("%d contents", n)
	}
}

func publishLarge(s *testServer, cname string, i, size int) {
	s.t.Helper()
	content := fmt.Sprintf("%0*d", size, i)
	if _, err := s.hub.Publish(&channel.Publication{Name: []byte(cname), Content: content}); err != nil {
		s.t.Fatal(err)
	}
}

// TestEndWhileABacklogIsRead: who is still reading when the channel ends gets all of it,
// and then the end.
func TestEndWhileABacklogIsRead(t *testing.T) {
	t.Parallel()
	const stored, size = 100, 50_000
	s := startServer(t, func(c *config.Config) {
		c.Front.ChannelBufferSize, c.Limits.SendBuffer = stored+1, 4096
		c.Limits.OutboundBuffer = 64 << 10
	})
	for i := range stored {
		publishLarge(s, "a", i, size)
	}
	c := dialNarrow(t, s.front).get("/stream?cname=a&seq=1")
	c.head()
	poll := dialNarrow(t, s.front).get("/sub?cname=a&seq=1")
	poll.until("200 OK")
	s.call("/end?cname=a&content=bye")
	late := dialNarrow(t, s.front).get("/sub?cname=a&seq=1")
	for i := range stored {
		if got := c.chunk(); !strings.HasPrefix(got, fmt.Sprintf(`{"type":"data","cname":"a","seq":%d,`, i+1)) {
			t.Fatalf("message %d: %.80q", i+1, got)
		}
	}
	for _, want := range []string{`"type":"data","cname":"a","seq":101,"content":"bye"`, `"type":"end","cname":"a","seq":102`} {
		if got := c.chunk(); !strings.Contains(got, want) {
			t.Fatalf("got %.80q, want %s", got, want)
		}
	}
	if got := c.chunk(); got != "" {
		t.Errorf("behind the end: %.80q", got)
	}
	poll.until(`0099"}]`) // its answer was begun before
	late.until(`0099"},{"type":"data","cname":"a","seq":101,"content":"bye"},{"type":"end","cname":"a","seq":102,"content":""}]`)
}

// TestEndOnHTTP10: the end of the connection ends the response.
func TestEndOnHTTP10(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	s.call("/push?cname=a&content=x")
	live := dial(t, s.front)
	live.sendf("GET /stream?cname=a&seq=2 HTTP/1.0\r\n\r\n")
	live.head()
	s.waitSubscribers("a", 1)
	s.call("/end?cname=a&content=y")
	late := dial(t, s.front)
	late.sendf("GET /stream?cname=a&seq=1 HTTP/1.0\r\n\r\n")
	late.head()
	for c, want := range map[*client]string{
		live: messageText("data", "a", 2, "y") + "\n" + messageText("end", "a", 3, "") + "\n",
		late: messageText("data", "a", 1, "x") + "\n" + messageText("data", "a", 2, "y") + "\n" + messageText("end", "a", 3, "") + "\n",
	} {
		if got, err := c.restOf(); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

// TestEndedChannelLives: an ended channel is freed after its time, as one without
// subscribers.
func TestEndedChannelLives(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) { c.Front.ChannelTimeout = 1 })
	for range 3 {
		s.subscribe("/stream?cname=a&seq=1")
	}
	s.call("/end?cname=a&content=x")
	if got := s.call("/check?cname=a"); got != "{\"a\": 1}\n" {
		t.Errorf("at the end: %s", got)
	}
	checkFor(t, patience, func() error {
		if got := s.call("/check?cname=a"); got != "{}\n" {
			return fmt.Errorf("alive: %s", got)
		}
		return nil
	})
	s.call("/push?cname=a&content=again")
}

// TestMovedTold: a subscriber that is told its position learns what it misses when its
// channel moves, instead of next_seq.
func TestMovedTold(t *testing.T) {
	t.Parallel()
	s, e := startStore(t)
	e.install("a", 1, 3)
	paths := []string{"/stream?cname=a&seq=3&epoch=", "/sse?cname=a&seq=3&epoch=", "/iframe?cname=a&seq=3&epoch="}
	epoch := fmt.Sprintf("%08x", e.copies["a"].Epoch())
	var clients []*client
	for _, path := range paths {
		c := dial(t, s.front).get(path + epoch)
		c.until(`"type":"position"`)
		clients = append(clients, c)
	}
	poll := dial(t, s.front).get("/sub?cname=a&seq=3&epoch=" + epoch)
	s.waitSubscribers("a", 4)
	release := s.pauseAll()
	e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 10, Type: channel.Moved})
	e.installAs("a", e.copies["a"].Epoch(), 10, 12)
	release()
	const lost = `"epoch":"%s","recovered":false,"lost":7,"reason":"trimmed"}`
	for _, c := range clients {
		got := c.until(fmt.Sprintf(lost, epoch))
		if strings.Contains(got, "next_seq") {
			t.Errorf("told next_seq too: %q", got)
		}
		c.until(`"seq":11,"content":"m11"`)
	}
	poll.expectAnswers(`200 [{"type":"position","cname":"a","seq":10,"content":"",` + fmt.Sprintf(lost, epoch) + `,{"type":"data","cname":"a","seq":10,"content":"m10"}`)
	s.waitSubscribers("a", 3)
	release = s.pauseAll()
	e.hub.Feed(e.copies["a"], channel.Message{Seq: 12, Content: "live"})
	e.hub.Uncopy(e.copies["a"], channel.Message{Seq: 1, Type: channel.Moved}) // another life
	e.installAs("a", e.copies["a"].Epoch()+1, 1, 2)
	release()
	for _, c := range clients {
		c.until(`"seq":12,"content":"live"`)
		c.until(`"recovered":false,"lost":-1,"reason":"epoch"}`)
		c.until(`"seq":1,"content":"m1"`)
	}
}

// TestClassesAreApplied: what a class says holds for its channels, and a reload changes it.
func TestClassesAreApplied(t *testing.T) {
	t.Parallel()
	class := func(match string) config.ChannelClass {
		return config.ChannelClass{Match: match, BufferSize: 10, Timeout: 30, MaxSubscribers: 10, Auth: "none"}
	}
	small, few, private := class("small.*"), class("few.?"), class("private.*")
	small.BufferSize, few.MaxSubscribers, private.Auth = 2, 1, "token"
	s := startServer(t, func(c *config.Config) { c.Channels = []config.ChannelClass{small, few, private} })
	for i := range 5 {
		s.call(fmt.Sprintf("/push?cname=small.a&content=%d", i))
	}
	if got := elements(t, "sub", s.getBody("/sub?cname=small.a&seq=1")); len(got) != 2 || got[0].Seq != 4 {
		t.Errorf("small.a: %+v", got)
	}
	s.subscribe("/stream?cname=few.a")
	if got := elements(t, "sub", s.getBody("/sub?cname=few.a")); got[0].Type != "429" {
		t.Errorf("the second subscriber of few.a: %+v", got)
	}
	if got := elements(t, "sub", s.getBody("/sub?cname=private.a")); got[0].Type != "401" {
		t.Errorf("private.a without a token: %+v", got)
	}
	if got := elements(t, "sub", s.getBody("/sub?cname=public.a")); got[0].Type != "next_seq" {
		t.Errorf("public.a: %+v", got)
	}
	s.reload(func(c *config.Config) {
		more := class("small.*")
		more.BufferSize = 4
		c.Channels = []config.ChannelClass{more}
	})
	for i := range 5 {
		s.call(fmt.Sprintf("/push?cname=small.a&content=%d", i))
	}
	if got := elements(t, "sub", s.getBody("/sub?cname=small.a&seq=1")); len(got) != 4 || got[0].Seq != 7 {
		t.Errorf("small.a after the reload: %+v", got)
	}
	if got := elements(t, "sub", s.getBody("/sub?cname=private.a")); got[0].Type != "next_seq" {
		t.Errorf("private.a after the reload: %+v", got)
	}
}

// TestBufferTTL: a message is kept for its class's time.
func TestBufferTTL(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *config.Config) {
		c.Channels = []config.ChannelClass{{
			Match: "*", BufferSize: 10, BufferTTL: config.Duration(time.Second), Timeout: 30, MaxSubscribers: 10, Auth: "none",
		}}
	})
	at := time.Now()
	s.call("/push?cname=a&content=x")
	checkFor(t, patience, func() error {
		body, _ := io.ReadAll(s.getBody("/sub?cname=a&last=5&epoch="))
		if strings.Contains(string(body), `"data"`) {
			return fmt.Errorf("still kept: %s", body)
		}
		return nil
	})
	if age := time.Since(at); age < time.Second {
		t.Errorf("gone after %v", age)
	}
}

// TestBatchLimits: too many lines, or too many bytes, and nothing is published.
func TestBatchLimits(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	post := func(ctype, body string) (status int, answer string) {
		resp, err := http.Post(servertest.URL(s.admin)+"/batch", ctype, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const lines = "application/x-ndjson"
	line := `{"cname":"a","content":"x"}` + "\n"
	if status, _ := post(lines, strings.Repeat(line, 10_001)); status != 413 {
		t.Errorf("10,001 lines: %d", status)
	}
	if status, _ := post(lines, `{"cname":"a","content":"`+strings.Repeat("x", 1<<20)+`"}`); status != 413 {
		t.Errorf("over limits.body: %d", status)
	}
	if status, _ := post("application/x-www-form-urlencoded", line); status != 415 {
		t.Errorf("as a form: %d", status)
	}
	if got := s.call("/check?cname=a"); got != "{}\n" {
		t.Fatal("a refused batch has published")
	}
	status, answer := post(lines, strings.Repeat(line, 10_000))
	if want := strings.Count(answer, `{"type":"ok","seq":`); status != 200 || want != 10_000 || !strings.HasSuffix(answer, `{"type":"ok","seq":10000}`+"\n") {
		t.Errorf("10,000 lines: %d, %d ok", status, want)
	}
	if status, answer := post(lines+"; charset=utf-8", ""); status != 200 || answer != "" {
		t.Errorf("no line: %d %q", status, answer)
	}
	for _, method := range []string{"GET", "PUT"} {
		if status, _ := s.request(method, s.admin, "/batch"); status != 405 {
			t.Errorf("%s: %d", method, status)
		}
	}
}
