package servertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Message is a message as a client sees it.
type Message struct {
	Type    string `json:"type"`
	Cname   string `json:"cname"`
	Seq     int64  `json:"seq"`
	Content string `json:"content"`

	// Of a position.
	Epoch     string `json:"epoch"`
	Recovered bool   `json:"recovered"`
	Lost      int64  `json:"lost"`
	Reason    string `json:"reason"`
}

// SubscriberKinds are the ways to subscribe over plain HTTP.
var SubscriberKinds = []string{"stream", "stream10", "sse", "iframe", "poll", "sub"}

// AllKinds are all ways to subscribe.
var AllKinds = append([]string{"ws"}, SubscriberKinds...)

// Subscriber is one on any transport. Its methods return errors, so that it can
// run on any goroutine.
type Subscriber struct {
	*Conn
	Kind     string // one of AllKinds
	Cname    string
	Next     int64  // what it asks for, and later: the seq it has to get next
	Callback string // poll, sub: "&cb=…", or "" for none
	LastID   string // sse: the last event id
	Query    string // if not "", of all it asks
}

// Subscribe subscribes on a connection of its own; a poll asks with the first Messages.
func Subscribe(addr, kind, cname string, seq int64) (*Subscriber, error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	return SubscribeOn(c, kind, cname, seq)
}

// SubscribeOn subscribes on a connection, which it closes when that fails.
func SubscribeOn(c *Conn, kind, cname string, seq int64) (*Subscriber, error) {
	return (&Subscriber{Conn: c, Kind: kind, Cname: cname, Next: seq}).open("")
}

// SubscribeQuery subscribes to what a query says. fields are further ones of the request,
// each with its line end.
func SubscribeQuery(c *Conn, kind, query, fields string) (*Subscriber, error) {
	return (&Subscriber{Conn: c, Kind: kind, Query: query}).open(fields)
}

func (f *Subscriber) open(fields string) (*Subscriber, error) {
	kind, c := f.Kind, f.Conn
	if kind == "poll" || kind == "sub" {
		return f, nil
	}
	if err := f.request(fields); err != nil {
		c.Close()
		return nil, err
	}
	_, err := f.Head()
	if err == nil && (kind == "iframe" || kind == "sse") {
		_, err = f.Chunk() // the preamble
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("head of a %s: %w", kind, err)
	}
	return f, nil
}

// Request asks, as a poll does before each answer.
func (f *Subscriber) Request() error { return f.request("") }

func (f *Subscriber) request(fields string) error {
	path, version := f.Kind, "1.1"
	switch f.Kind {
	case "stream10":
		path, version = "stream", "1.0"
	case "ws":
		fields += WebSocketFields
	}
	query := f.Query
	if query == "" {
		query = fmt.Sprintf("cname=%s&seq=%d%s", f.Cname, f.Next, f.Callback)
	}
	_, err := fmt.Fprintf(f, "GET /%s?%s HTTP/%s\r\nHost: test\r\n%s\r\n", path, query, version, fields)
	return err
}

// Messages returns the next messages; io.EOF after a clean end of an endless response.
func (f *Subscriber) Messages() ([]Message, error) {
	var text string
	var err error
	switch f.Kind {
	case "poll", "sub":
		if text, err = f.poll(); err != nil {
			return nil, err
		}
		return f.ParsePoll(text)
	case "stream10":
		if text, err = f.R.ReadString('\n'); err != nil {
			return nil, err
		}
	case "ws":
		var end *CloseError
		if text, err = f.Text(); errors.As(err, &end) && end.Code == 1000 {
			err = io.EOF
		}
		if err != nil {
			return nil, err
		}
	default:
		if text, err = f.Chunk(); err != nil {
			return nil, err
		}
		if text == "" {
			return nil, io.EOF
		}
		if f.Kind == "sse" {
			_, text, _ = strings.Cut(text, "data: ") // a retry field may stand before it
			var rest string
			text, rest, _ = strings.Cut(text, "\n") // and an id field behind it
			if id, ok := strings.CutPrefix(rest, "id: "); ok {
				f.LastID, _, _ = strings.Cut(id, "\n")
			}
		}
		text = strings.TrimPrefix(strings.TrimSuffix(text, ");</script>\n"), "<script>parent.icomet_cb(")
	}
	ms := make([]Message, 1)
	if err := json.Unmarshal([]byte(text), &ms[0]); err != nil {
		return nil, fmt.Errorf("%s: %q: %w", f.Kind, text, err)
	}
	return ms, nil
}

// ParsePoll reads a poll's answer: one message or a list, in the callback asked for.
func (f *Subscriber) ParsePoll(text string) (ms []Message, err error) {
	callback, given := strings.CutPrefix(f.Callback, "&cb=")
	if !given && f.Kind == "poll" {
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

func (f *Subscriber) poll() (string, error) {
	if err := f.Request(); err != nil {
		return "", err
	}
	return f.PollAnswer()
}

// PollAnswer reads the answer of a poll that is out.
func (f *Subscriber) PollAnswer() (string, error) {
	_, body, err := f.Answer()
	return body, err
}

// Expect reads one message, of a poll without asking first.
func (f *Subscriber) Expect(seq int64, content string) error {
	if f.Kind == "poll" || f.Kind == "sub" {
		return f.ExpectAnswer(fmt.Sprintf(`"seq":%d,"content":"%s"}`, seq, content))
	}
	ms, err := f.Messages()
	if err != nil || ms[0].Seq != seq || ms[0].Content != content {
		return fmt.Errorf("%s gets %+v, %v; want seq %d %q", f.Kind, ms, err, seq, content)
	}
	return nil
}

// ExpectAnswer reads the answer of a poll that waits, which has all of parts.
func (f *Subscriber) ExpectAnswer(parts ...string) error {
	body, err := f.PollAnswer()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			return fmt.Errorf("%s gets %q, want %q in it", f.Kind, body, part)
		}
	}
	return nil
}

// Follow reads until a message with the content last, and checks that the seqs are
// without a gap from the first on. The contents go to seen, by seq.
func (f *Subscriber) Follow(last string, seen func(m Message) error) error {
	for {
		ms, err := f.Messages()
		if err != nil {
			return fmt.Errorf("%s of %s before seq %d: %w", f.Kind, f.Cname, f.Next, err)
		}
		for _, m := range ms {
			switch {
			case m.Cname != f.Cname:
				return fmt.Errorf("%s of %s got %+v", f.Kind, f.Cname, m)
			case m.Type == "next_seq":
				// First of all to who asks from now on, and after each broadcast.
				if f.Next != 0 && m.Seq != f.Next {
					return fmt.Errorf("%s of %s expects %d, is told %+v", f.Kind, f.Cname, f.Next, m)
				}
				f.Next = m.Seq
				continue
			case m.Type == "noop":
				continue
			case m.Seq != f.Next:
				return fmt.Errorf("%s of %s expects %d, gets %+v", f.Kind, f.Cname, f.Next, m)
			}
			f.Next++
			if err := seen(m); err != nil {
				return err
			}
			if m.Content == last {
				return nil
			}
		}
	}
}

// Publisher is a keep-alive connection to the admin port.
type Publisher struct{ *Conn }

// OpenPublisher connects.
func OpenPublisher(addr string) (*Publisher, error) {
	c, err := Dial(addr)
	return &Publisher{c}, err
}

// Calls sends the requests in one write, then reads the answers.
func (p *Publisher) Calls(paths ...string) error {
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
