package client

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxMessage bounds a message as it is sent, in bytes. What holds several (the answer of
// a poll) is not bounded.
const maxMessage = 64 << 20

// form is how a transport asks for messages, and how it reads them: read returns nil at
// the end of the response.
type form struct {
	path string
	read func(*run, io.Reader) error
}

var forms = map[Transport]form{
	Stream: {"/stream", (*run).readJSON},
	SSE:    {"/sse", (*run).readEvents},
	Iframe: {"/iframe", (*run).readCalls},
	Poll:   {"/sub", (*run).readJSON}, // /poll without a callback
}

// readJSON reads JSON texts one after another, or a list of them. Each is delivered when
// it is there, not when the list has ended.
func (r *run) readJSON(body io.Reader) error {
	bounded := &io.LimitedReader{R: body, N: maxMessage}
	start := bufio.NewReader(bounded)
	first, err := firstByte(start)
	if err != nil {
		return ended(err)
	}
	dec := json.NewDecoder(start)
	if first == '[' {
		if _, err := dec.Token(); err != nil {
			return err
		}
	}
	for dec.More() {
		bounded.N = maxMessage
		var m incoming
		if err := dec.Decode(&m); err != nil {
			if bounded.N <= 0 {
				return ErrTooLarge
			}
			return fmt.Errorf("not a message: %w", err)
		}
		if err := r.take(m); err != nil {
			return err
		}
		bounded.N = maxMessage
	}
	_, err = dec.Token() // the end of the list, or why there is no more
	return ended(err)
}

// firstByte is the first byte that is no white space; it is left to be read.
func firstByte(r *bufio.Reader) (rune, error) {
	for {
		c, _, err := r.ReadRune()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, r.UnreadRune()
		}
	}
}

// ended is nil for the end of a response.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readCalls reads the lines of an HTML page that call a function with a message.
func (r *run) readCalls(body io.Reader) error {
	lines := scanLines(body)
	for lines.Scan() {
		text, found := bytes.CutPrefix(lines.Bytes(), []byte("<script>parent.icomet_cb("))
		text, whole := bytes.CutSuffix(text, []byte(");</script>"))
		if !found || !whole {
			continue
		}
		m, err := decode(text)
		if err != nil {
			return err
		}
		if err := r.take(m); err != nil {
			return err
		}
	}
	return tooLong(lines.Err())
}

// readEvents reads server-sent events. It takes those that a browser's onmessage gets.
func (r *run) readEvents(body io.Reader) error {
	events := newEventReader(body, r.eventID)
	for {
		e, err := events.next()
		retry := events.retry
		if r.many {
			retry = events.opening // a later one is about a channel that is refused or closed
		}
		r.retry = cmp.Or(retry, r.retry)
		if err != nil {
			return ended(tooLong(err))
		}
		r.eventID = e.id
		if len(e.data) == 0 || e.name != "" && e.name != "message" {
			continue
		}
		m, err := decode(e.data)
		if err != nil {
			return err
		}
		if err := r.take(m); err != nil {
			return err
		}
	}
}

// lineEnd finds the ends of lines: CR, LF or both.
type lineEnd struct {
	searched int  // bytes of the line that have no end; a long line is not searched again and again
	afterCR  bool // a line feed that comes now is the rest of the last line's end
}

func scanLines(r io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMessage)
	lines.Split(new(lineEnd).split)
	return lines
}

// split cuts off a line. It does not wait for the byte after a CR, since that may come
// much later, and drops what the end of the stream cuts off.
func (e *lineEnd) split(data []byte, atEOF bool) (advance int, line []byte, err error) {
	skip := 0
	if e.afterCR && len(data) > 0 {
		e.afterCR = false
		if data[0] == '\n' {
			skip, data = 1, data[1:]
		}
	}
	if end := bytes.IndexAny(data[e.searched:], "\r\n"); end >= 0 {
		end += e.searched
		e.searched, e.afterCR = 0, data[end] == '\r'
		return skip + end + 1, data[:end], nil
	}
	e.searched = len(data)
	if atEOF {
		return skip + len(data), nil, nil
	}
	return skip, nil, nil
}

// tooLong says in the package's words that a line is too long.
func tooLong(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return ErrTooLarge
	}
	return err
}
