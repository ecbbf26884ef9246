package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"icomet/server/servertest"
)

// message is what a client decodes.
type message struct {
	Type, Cname, Content string
	Seq                  int64
}

func decode(t *testing.T, text string) (m message) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m
}

// TestNetHTTPClient: Go's own client reads a stream, polls and publishes by POST.
func TestNetHTTPClient(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	client := &http.Client{Timeout: patience, Transport: servertest.Transport()}
	defer client.CloseIdleConnections()
	resp, err := client.Get(servertest.URL(s.front) + "/stream?cname=a&seq=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for i := int64(1); i <= 5; i++ {
		content := fmt.Sprintf("\"%d\" <b> & ä \\ + %%", i)
		r, err := client.PostForm(servertest.URL(s.admin)+"/push", url.Values{"cname": {"a"}, "content": {content}})
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(r.Body); r.StatusCode != 200 || string(b) != "{\"type\":\"ok\"}\n" {
			t.Errorf("push: %d %q", r.StatusCode, b)
		}
		r.Body.Close()
		var m message
		if err := dec.Decode(&m); err != nil || m != (message{"data", "a", content, i}) {
			t.Fatalf("got %+v, %v", m, err)
		}
	}
	s.call("/close?cname=a")
	var m message
	if err := dec.Decode(&m); err != nil || m.Type != "close" {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := dec.Decode(&m); err != io.EOF {
		t.Errorf("after close: %v, a clean end is EOF", err)
	}
}

// TestLineReader: the Java client reads the stream's body by lines through
// HttpURLConnection, which unchunks it, and takes each line for one message.
func TestLineReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.polling_timeout=1"))
	for _, version := range []string{"1.0", "1.1"} {
		c := dial(t, s.front)
		c.sendf("GET /stream?cname=a&seq=1 HTTP/%s\r\nHost: h\r\n\r\n", version)
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		next := func() message {
			if !lines.Scan() {
				t.Fatalf("HTTP/%s: the stream ends: %v", version, lines.Err())
			}
			return decode(t, lines.Text())
		}
		s.call("/push?cname=a&content=line%0Aend%0D")
		if m := next(); m != (message{"data", "a", "line\nend\r", 1}) {
			t.Errorf("HTTP/%s: got %+v", version, m)
		}
		if m := next(); m != (message{"noop", "a", "", 0}) {
			t.Errorf("HTTP/%s: got %+v", version, m)
		}
		s.call("/broadcast?content=all")
		if m := next(); m != (message{"broadcast", "a", "all", 2}) {
			t.Errorf("HTTP/%s: got %+v", version, m)
		}
		if m := next(); m != (message{"next_seq", "a", "", 3}) {
			t.Errorf("HTTP/%s: got %+v", version, m)
		}
		s.call("/close?cname=a")
		if m := next(); m != (message{"close", "a", "", 3}) || lines.Scan() {
			t.Errorf("HTTP/%s: got %+v, then %q", version, m, lines.Text())
		}
	}
}

// eventSource reads events as the HTML standard says (9.2.6), with the id that a
// browser would repeat.
type eventSource struct {
	t      *testing.T
	url    string
	lastID string
	resp   *http.Response
	lines  *bufio.Reader
}

func (e *eventSource) connect() {
	e.t.Helper()
	req, _ := http.NewRequest("GET", e.url, nil)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	if e.lastID != "" {
		req.Header.Set("Last-Event-ID", e.lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		e.t.Fatalf("%s %v: a browser would not come back", resp.Status, resp.Header)
	}
	e.resp, e.lines = resp, bufio.NewReader(resp.Body)
}

func (e *eventSource) next() message {
	e.t.Helper()
	data := ""
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil {
			e.t.Fatalf("the event stream ends: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			return decode(e.t, data)
		case field == "data":
			data += value
		case field == "id" && data == "":
			e.t.Fatal("the id stands before the data: an event that is cut between them would be lost")
		case field == "id":
			e.lastID = value
		case line == "retry: 2000":
		default:
			e.t.Fatalf("an unexpected line %q", line)
		}
	}
}

// TestEventSource: a browser that loses its connection, even before its first message,
// gets everything exactly once.
func TestEventSource(t *testing.T) {
	t.Parallel()
	s := startServer(t, withSettings(t, "front.channel_buffer_size=100"))
	e := &eventSource{t: t, url: servertest.URL(s.front) + "/sse?cname=a"}
	e.connect()
	if m := e.next(); m != (message{"next_seq", "a", "", 1}) {
		t.Fatalf("got %+v", m)
	}
	seq := int64(0)
	for round := range 4 {
		e.resp.Body.Close() // the connection is lost
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 0) })
		for i := range 3 {
			s.call("/push?cname=a&content=" + strconv.Itoa(10*round+i))
		}
		s.call("/broadcast?content=all")
		e.connect()
		for i := range 3 {
			seq++
			if m := e.next(); m != (message{"data", "a", strconv.Itoa(10*round + i), seq}) {
				t.Fatalf("round %d: got %+v", round, m)
			}
		}
		seq++
		if m := e.next(); m != (message{"broadcast", "a", "all", seq}) {
			t.Fatalf("round %d: got %+v", round, m)
		}
		if m := e.next(); m != (message{"next_seq", "a", "", seq + 1}) {
			t.Fatalf("round %d: got %+v", round, m)
		}
	}
	if e.resp.Body.Close(); !strings.HasSuffix(e.lastID, fmt.Sprintf("-%d", seq)) {
		t.Errorf("the last id is %s, the last seq %d", e.lastID, seq)
	}
}

// TestScriptTag: a JSONP client takes the answer for a program; here its one call is
// taken apart. It polls on with the seq of the last message plus 1, as the seed says.
func TestScriptTag(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := dial(t, s.front)
	seq := int64(0)
	var got []string
	for len(got) < 12 {
		if len(got)%3 == 0 {
			for i := range 3 {
				s.call(fmt.Sprintf("/push?cname=a&content=%d", len(got)+i))
			}
		}
		body := c.get(fmt.Sprintf("/poll?cname=a&seq=%d&cb=icomet_cb_7", max(1, seq))).reply().body
		arg, ok := strings.CutPrefix(strings.TrimSuffix(body, ");\n"), "icomet_cb_7(")
		if !ok || len(arg)+len("icomet_cb_7();\n") != len(body) {
			t.Fatalf("got %q", body)
		}
		var many []message
		if arg[0] == '[' {
			if err := json.Unmarshal([]byte(arg), &many); err != nil {
				t.Fatal(err)
			}
		} else {
			many = []message{decode(t, arg)}
		}
		for _, m := range many {
			got = append(got, m.Content)
			seq = m.Seq + 1
		}
	}
	if want := "0 1 2 3 4 5 6 7 8 9 10 11"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}

// curl is on every Debian; without it this test cannot say anything and fails.
func curl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is needed for this test: apt-get install curl")
	}
	usual := []string{"-sS", "--max-time", "20", "--noproxy", "*"}
	if servertest.TLS() {
		usual = append(usual, "--cacert", servertest.AuthorityFile())
	}
	return exec.Command(path, append(usual, args...)...)
}

// TestCurl: what the README shows, with curl's two HTTP versions, and curl -N of a stream.
func TestCurl(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	for _, version := range []string{"--http1.1", "--http1.0"} {
		stream := curl(t, version, "-N", servertest.URL(s.front)+"/stream?cname=a&seq=1")
		out, err := stream.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Start(); err != nil {
			t.Fatal(err)
		}
		checkFor(t, patience, func() error { return s.hasSubscribers("a", 1) })
		for _, args := range [][]string{
			{servertest.URL(s.admin) + "/push?cname=a&content=hi"},
			{"--data-urlencode", "content=hi", "-d", "cname=a", servertest.URL(s.admin) + "/push"},
			{"-H", "Content-Type: application/json", "-d", `{"cname":"a","content":"hi"}`, servertest.URL(s.admin) + "/pub"},
			{"-F", "x=y", servertest.URL(s.admin) + "/push?cname=a&content=hi"},
		} {
			got, err := curl(t, append([]string{version}, args...)...).CombinedOutput()
			if err != nil || string(got) != "{\"type\":\"ok\"}\n" {
				t.Errorf("curl %s: %q %v", args, got, err)
			}
		}
		s.call("/close?cname=a")
		got, err := io.ReadAll(out)
		want := ""
		for seq := int64(1); seq <= 4; seq++ {
			want += messageText("data", "a", seq, "hi") + "\n"
		}
		if want += messageText("close", "a", 5, "") + "\n"; string(got) != want || err != nil {
			t.Errorf("the stream got %q, %v", got, err)
		}
		if err := stream.Wait(); err != nil {
			t.Errorf("curl ends with %v", err)
		}
	}
	// A body over a megabyte with curl's Expect: 100-continue is refused in words.
	big := curl(t, "-w", "%{http_code}", "--data-binary", "@-", servertest.URL(s.admin)+"/push?cname=a")
	big.Stdin = strings.NewReader("content=" + strings.Repeat("x", 3<<20))
	if got, err := big.CombinedOutput(); !strings.HasSuffix(string(got), "413") || !strings.Contains(string(got), "body") {
		t.Errorf("a large body: %q, %v", got, err)
	}
	head, err := curl(t, "-I", servertest.URL(s.front)+"/stream?cname=b").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 200 OK\r\n") {
		t.Errorf("curl -I: %q %v", head, err)
	}
}

// TestSwiftReader: a client that takes each read for whole messages, as the iOS one
// does, never sees a part: a message leaves in one write.
func TestSwiftReader(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	c := s.open("stream", "cname=a&seq=1")
	nc := c.Conn // without the buffered reader
	buf := make([]byte, 64<<10)
	for i := range 50 {
		s.call(fmt.Sprintf("/push?cname=a&content=%s", strings.Repeat("x", 40*i)))
		n, err := nc.Read(buf)
		if err != nil || !strings.HasSuffix(string(buf[:n]), "\"}\n\r\n") || !strings.Contains(string(buf[:n]), fmt.Sprintf(`"seq":%d,`, i+1)) {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
	}
	_ = nc.SetDeadline(time.Time{})
}
