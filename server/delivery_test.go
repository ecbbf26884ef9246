package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
)

// wireMessage is a message as a client sees it.
type wireMessage struct {
	Type    string `json:"type"`
	Cname   string `json:"cname"`
	Seq     int64  `json:"seq"`
	Content string `json:"content"`
}

// feedKinds are the ways to subscribe that a feed knows.
var feedKinds = []string{"stream", "stream10", "sse", "iframe", "poll", "sub"}

// feed is a subscriber on any transport. Its methods return errors, so that it can
// run on any goroutine.
type feed struct {
	*servertest.Conn
	kind  string
	cname string
	next  int64  // what it asks for, and later: the seq it has to get next
	cb    string // poll, sub: "&cb=…", or "" for none
}

func openFeed(addr, kind, cname string, seq int64) (*feed, error) {
	c, err := servertest.Dial(addr)
	if err != nil {
		return nil, err
	}
	return openFeedOn(c, kind, cname, seq)
}

// openFeedOn subscribes on a connection, which it closes when that fails.
func openFeedOn(c *servertest.Conn, kind, cname string, seq int64) (*feed, error) {
	f := &feed{Conn: c, kind: kind, cname: cname, next: seq}
	if kind == "poll" || kind == "sub" {
		return f, nil
	}
	if err := f.request(); err != nil {
		c.Close()
		return nil, err
	}
	_, err := f.Head()
	if err == nil && kind == "iframe" {
		_, err = f.Chunk()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("head of a %s: %w", kind, err)
	}
	return f, nil
}

func (f *feed) request() error {
	path, version := f.kind, "1.1"
	if f.kind == "stream10" {
		path, version = "stream", "1.0"
	}
	_, err := fmt.Fprintf(f, "GET /%s?cname=%s&seq=%d%s HTTP/%s\r\nHost: test\r\n\r\n", path, f.cname, f.next, f.cb, version)
	return err
}

// read returns the next messages; io.EOF after a clean end of an endless response.
func (f *feed) read() ([]wireMessage, error) {
	var text string
	var err error
	switch f.kind {
	case "poll", "sub":
		if text, err = f.poll(); err != nil {
			return nil, err
		}
		return f.parsePoll(text)
	case "stream10":
		if text, err = f.R.ReadString('\n'); err != nil {
			return nil, err
		}
	default:
		if text, err = f.Chunk(); err != nil {
			return nil, err
		}
		if text == "" {
			return nil, io.EOF
		}
		if f.kind == "sse" {
			_, text, _ = strings.Cut(text, "data: ")
		}
		text = strings.TrimPrefix(strings.TrimSuffix(text, ");</script>\n"), "<script>parent.icomet_cb(")
	}
	ms := make([]wireMessage, 1)
	if err := json.Unmarshal([]byte(text), &ms[0]); err != nil {
		return nil, fmt.Errorf("%s: %q: %w", f.kind, text, err)
	}
	return ms, nil
}

// parsePoll reads a poll's answer: one message or a list, in the callback asked for.
func (f *feed) parsePoll(text string) (ms []wireMessage, err error) {
	callback, given := strings.CutPrefix(f.cb, "&cb=")
	if !given && f.kind == "poll" {
		callback = "icomet_cb"
	}
	before, behind := "", "\n"
	if callback != "" {
		before, behind = callback+"(", ");\n"
	}
	body, begun := strings.CutPrefix(text, before)
	body, ended := strings.CutSuffix(body, behind)
	if !begun || !ended {
		return nil, fmt.Errorf("%q is not in the callback %q", text, callback)
	}
	if !strings.HasPrefix(body, "[") {
		body = "[" + body + "]"
	}
	return ms, json.Unmarshal([]byte(body), &ms)
}

func (f *feed) poll() (string, error) {
	if err := f.request(); err != nil {
		return "", err
	}
	return f.answer()
}

// answer reads the answer of a poll that is out.
func (f *feed) answer() (string, error) {
	_, body, err := f.Answer()
	return body, err
}

// follow reads until a message with the content last, and checks that the seqs are
// without a gap from the first on. The contents go to seen, by seq.
func (f *feed) follow(last string, seen func(m wireMessage) error) error {
	for {
		ms, err := f.read()
		if err != nil {
			return fmt.Errorf("%s of %s before seq %d: %w", f.kind, f.cname, f.next, err)
		}
		for _, m := range ms {
			switch {
			case m.Cname != f.cname:
				return fmt.Errorf("%s of %s got %+v", f.kind, f.cname, m)
			case m.Type == "next_seq":
				// First of all to who asks from now on, and after each broadcast.
				if f.next != 0 && m.Seq != f.next {
					return fmt.Errorf("%s of %s expects %d, is told %+v", f.kind, f.cname, f.next, m)
				}
				f.next = m.Seq
				continue
			case m.Type == "noop":
				continue
			case m.Seq != f.next:
				return fmt.Errorf("%s of %s expects %d, gets %+v", f.kind, f.cname, f.next, m)
			}
			f.next++
			if err := seen(m); err != nil {
				return err
			}
			if m.Content == last {
				return nil
			}
		}
	}
}

// publisher is a keep-alive connection to the admin port.
type publisher struct{ *servertest.Conn }

func openPublisher(addr string) (*publisher, error) {
	c, err := servertest.Dial(addr)
	return &publisher{c}, err
}

// calls sends the requests in one write, then reads the answers.
func (p *publisher) calls(paths ...string) error {
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path)
	}
	if _, err := io.WriteString(p, b.String()); err != nil {
		return err
	}
	for _, path := range paths {
		status, body, err := p.Answer()
		if err != nil || status != 200 {
			return fmt.Errorf("%s: %d %s %w", path, status, body, errors.Join(err))
		}
	}
	return nil
}

const (
	stormChannels   = 5
	stormPublishers = 4
	stormMessages   = 240 // of each publisher
	stormBroadcasts = 20
)

func stormChannel(i int) string { return fmt.Sprintf("storm%d", i%stormChannels) }

// stormPublish publishes to all channels in turn, group requests at a time.
func stormPublish(addr string, who, group int) error {
	p, err := openPublisher(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := 0; i < stormMessages; {
		var paths []string
		for range group {
			paths = append(paths, fmt.Sprintf("/push?cname=%s&content=p%d-%06d", stormChannel(i), who, i))
			i++
		}
		if err := p.calls(paths...); err != nil {
			return err
		}
	}
	return nil
}

func stormBroadcast(addr string) error {
	p, err := openPublisher(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range stormBroadcasts {
		if err := p.calls(fmt.Sprintf("/broadcast?content=b-%06d", i)); err != nil {
			return err
		}
	}
	return nil
}

// stormLog has what every subscriber of a channel must see, by seq.
type stormLog struct {
	mu       sync.Mutex
	contents map[string]string
}

func (l *stormLog) check(m wireMessage) error {
	key := fmt.Sprintf("%s/%d", m.Cname, m.Seq)
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.contents[key]; ok && was != m.Content {
		return fmt.Errorf("%s is %q to one subscriber and %q to another", key, was, m.Content)
	}
	l.contents[key] = m.Content
	return nil
}

// TestNoGapNoReorderInTheStorm has subscribers on all transports that were there
// before, that come late and want everything, and that come late and want what is
// new, while publishers and broadcasts run.
func TestNoGapNoReorderInTheStorm(t *testing.T) {
	s := startServer(t, func(c *Config) {
		c.Runtime.EventLoops = 3
		c.Front.ChannelBufferSize = 10_000
	})
	seen := &stormLog{contents: make(map[string]string)}
	var readers, writers sync.WaitGroup
	var open atomic.Int32
	failed := make(chan error, 1000)
	subscribe := func(kind, cname string, seq int64) {
		readers.Go(func() {
			f, err := openFeed(s.front, kind, cname, seq)
			open.Add(1)
			if err == nil {
				defer f.Close()
				err = f.follow("end", seen.check)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	for i := range stormChannels {
		for _, kind := range feedKinds {
			subscribe(kind, stormChannel(i), 1)
		}
	}
	checkFor(t, patience, func() error {
		if n := open.Load(); int(n) < stormChannels*len(feedKinds) {
			return fmt.Errorf("%d subscribers are there", n)
		}
		return nil
	})
	for who := range stormPublishers {
		writers.Go(func() {
			group := 1
			if who%2 == 1 {
				group = 16
			}
			if err := stormPublish(s.admin, who, group); err != nil {
				failed <- err
			}
		})
	}
	writers.Go(func() {
		if err := stormBroadcast(s.admin); err != nil {
			failed <- err
		}
	})
	for i := range stormChannels {
		for _, kind := range feedKinds {
			subscribe(kind, stormChannel(i), 1)
			if kind != "poll" && kind != "sub" { // these would be told the next seq for ever
				subscribe(kind, stormChannel(i), 0)
			}
		}
	}
	writers.Wait()
	checkFor(t, patience, func() error { // a subscriber from now on must not come after the end
		if n := open.Load(); int(n) < stormChannels*(3*len(feedKinds)-2) {
			return fmt.Errorf("%d subscribers are there", n)
		}
		return nil
	})
	for i := range stormChannels {
		s.call("/push?content=end&cname=" + stormChannel(i))
	}
	readers.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	seen.checkComplete(t)
	checkFor(t, patience, s.checkIdle)
}

// checkComplete checks that each channel has every message once, those of one
// publisher in their order.
func (l *stormLog) checkComplete(t *testing.T) {
	for i := range stormChannels {
		count, latest := 0, make(map[string]string)
		for seq := int64(1); ; seq++ {
			content, ok := l.contents[fmt.Sprintf("%s/%d", stormChannel(i), seq)]
			if !ok {
				break
			}
			count++
			who, number, _ := strings.Cut(content, "-")
			if number <= latest[who] && content != "end" {
				t.Errorf("%s: %q comes after %q", stormChannel(i), content, latest[who])
			}
			latest[who] = number
		}
		if want := stormPublishers*stormMessages/stormChannels + stormBroadcasts + 1; count != want {
			t.Errorf("%s has %d messages, want %d", stormChannel(i), count, want)
		}
	}
}

// checkIdle reports what does not come back to zero when everybody has gone.
func (s *testServer) checkIdle() error {
	if n := s.hub.Subscribers(); n != 0 {
		return fmt.Errorf("%d subscribers are counted", n)
	}
	if n := s.reactor.counts.conns.Load(); n != 0 {
		return fmt.Errorf("%d connections are counted", n)
	}
	for i, l := range s.reactor.loops {
		if n, b := l.stats.queued.Load(), l.stats.queuedBytes.Load(); n != 0 || b != 0 {
			return fmt.Errorf("loop %d: %d messages, %d bytes are queued", i, n, b)
		}
		for k := range l.stats.subscribers {
			if n := l.stats.subscribers[k].Load(); n != 0 {
				return fmt.Errorf("loop %d: %d subscribers by %v", i, n, transport(k))
			}
		}
		working := make(chan int, 1)
		l.post(func() { working <- len(l.working) })
		if n := <-working; n != 0 {
			return fmt.Errorf("loop %d: %d batches at work", i, n)
		}
	}
	return nil
}
