package servertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Event is a message with all that a subscriber can be told beside it.
type Event struct {
	Message
	Epoch     string `json:"epoch"`
	Recovered bool   `json:"recovered"`
	Lost      int64  `json:"lost"`
	Reason    string `json:"reason"`
	Name      string `json:"-"` // sse: the event field
	ID        string `json:"-"` // sse: the id field
}

// ListenerKinds are the transports of a Listener. stream10 is a stream by HTTP/1.0; rawsse
// and rawstream are those with raw=1, whose events have a content only, and an id.
var ListenerKinds = []string{"stream", "stream10", "sse", "iframe", "poll", "sub", "rawsse", "rawstream"}

// Listener is a subscriber that sees all that the wire says. Its methods return errors, for
// any goroutine.
type Listener struct {
	*Conn
	Kind   string
	Status int // of the response; of a poll 0 before its first answer
}

// Listen subscribes on a connection of its own, with that query, and Last-Event-ID if it is
// not "". It reads the head of an endless response; a poll is out when it returns.
func Listen(addr, kind, query, lastEventID string) (*Listener, error) {
	c, err := Dial(addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{Conn: c, Kind: kind}
	if err = l.ask(query, lastEventID); err == nil && !l.Polls() {
		err = l.begin()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s?%s: %w", kind, query, err)
	}
	return l, nil
}

// Polls says whether the listener gets one answer.
func (l *Listener) Polls() bool { return l.Kind == "poll" || l.Kind == "sub" }

func (l *Listener) ask(query, lastEventID string) error {
	path, version, field := l.Kind, "1.1", ""
	if raw, is := strings.CutPrefix(path, "raw"); is {
		path, query = raw, query+"&raw=1"
	}
	if path == "stream10" {
		path, version = "stream", "1.0"
	}
	if lastEventID != "" {
		field = "Last-Event-ID: " + lastEventID + "\r\n"
	}
	_, err := fmt.Fprintf(l, "GET /%s?%s HTTP/%s\r\nHost: test\r\n%s\r\n", path, query, version, field)
	return err
}

func (l *Listener) begin() error {
	head, err := l.Head()
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d ", &l.Status); err != nil {
		return fmt.Errorf("head %q: %w", head, err)
	}
	if l.Status == 200 && (l.Kind == "iframe" || l.Kind == "sse" || l.Kind == "rawsse") {
		_, err = l.Chunk() // the preamble
	}
	return err
}

// Events returns the next events: of a poll its whole answer, otherwise one or none. io.EOF
// says that an endless response has ended cleanly, or that it had no body.
func (l *Listener) Events() ([]Event, error) {
	switch {
	case l.Polls():
		var body string
		var err error
		if l.Status, body, err = l.Answer(); err != nil {
			return nil, err
		}
		return parseAnswer(l.Kind, body)
	case l.Status != 200:
		return nil, io.EOF
	case l.Kind == "stream10":
		line, err := l.R.ReadString('\n')
		if err != nil {
			return nil, err
		}
		return parseEvent(line)
	}
	text, err := l.Chunk()
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF // without the last chunk
	case err != nil:
		return nil, err
	case text == "":
		return nil, io.EOF
	}
	switch l.Kind {
	case "sse", "rawsse":
		return parseSSE(text, l.Kind == "rawsse")
	case "rawstream":
		if text == "\n" {
			return nil, nil // a heartbeat
		}
		return []Event{{Message: Message{Content: strings.TrimSuffix(text, "\n")}}}, nil
	case "iframe":
		text = strings.TrimPrefix(strings.TrimSuffix(text, ");</script>\n"), "<script>parent.icomet_cb(")
	}
	return parseEvent(text)
}

func parseEvent(text string) ([]Event, error) {
	es := make([]Event, 1)
	if err := json.Unmarshal([]byte(text), &es[0]); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return es, nil
}

// parseAnswer reads a poll's answer: one message or a list.
func parseAnswer(kind, body string) (es []Event, err error) {
	if kind == "poll" {
		body = strings.TrimPrefix(strings.TrimSuffix(body, ");\n"), "icomet_cb(")
	}
	if !strings.HasPrefix(body, "[") {
		return parseEvent(body)
	}
	if err := json.Unmarshal([]byte(body), &es); err != nil {
		return nil, fmt.Errorf("%q: %w", body, err)
	}
	return es, nil
}

// parseSSE reads one event as the HTML standard says. In a raw one the data is the content.
func parseSSE(text string, raw bool) ([]Event, error) {
	var data []string
	var e Event
	for line := range strings.Lines(text) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data = append(data, value)
		case "id":
			e.ID = value
		case "event":
			e.Name = value
		}
	}
	switch joined := strings.Join(data, "\n"); {
	case data == nil:
		return nil, nil
	case raw:
		e.Content = joined
	default:
		if err := json.Unmarshal([]byte(joined), &e); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
	}
	return []Event{e}, nil
}
