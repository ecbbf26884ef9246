package client

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// longestRetry is what a longer retry counts as.
const longestRetry = 24 * time.Hour

var byteOrderMark = []byte("\ufeff")

// event is one server-sent event.
type event struct {
	name string // "": none
	data []byte // its lines, with a newline between; valid until the next event
	id   string // the last id of the stream, of this event or an earlier one
}

// eventReader reads an event stream by the rules of the HTML standard, section 9.2.6
// (interpreting an event stream). An event counts when the empty line after it has come:
// what the end of the stream cuts off, its id too, is dropped.
type eventReader struct {
	lines   *bufio.Scanner
	retry   time.Duration // the last one; 0: none
	opening time.Duration // the first one; 0: none

	// Of the event that is being read.
	name string
	data []byte // each line with a newline behind it
	id   string

	first bool // no line has been read yet
}

// newEventReader begins with the id that the client has from an earlier connection.
func newEventReader(body io.Reader, id string) *eventReader {
	return &eventReader{lines: scanLines(body), id: id, first: true}
}

// next returns the next event, or why there is none; io.EOF at the end of the stream.
func (r *eventReader) next() (event, error) {
	r.data = r.data[:0]
	r.name = ""
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if r.first {
			line, r.first = bytes.TrimPrefix(line, byteOrderMark), false
		}
		if len(line) == 0 {
			return event{r.name, bytes.TrimSuffix(r.data, []byte("\n")), r.id}, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":")) // a comment is a field without a name
		if err := r.field(string(name), bytes.TrimPrefix(value, []byte(" "))); err != nil {
			return event{}, err
		}
	}
	if err := r.lines.Err(); err != nil {
		return event{}, err
	}
	return event{}, io.EOF
}

func (r *eventReader) field(name string, value []byte) error {
	switch name {
	case "event":
		r.name = string(value)
	case "data":
		if len(r.data)+len(value) > maxMessage {
			return bufio.ErrTooLong
		}
		r.data = append(append(r.data, value...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.id = string(value)
		}
	case "retry":
		if len(value) > 0 && strings.Trim(string(value), "0123456789") == "" {
			ms, err := strconv.ParseInt(string(value), 10, 64)
			if limit := int64(longestRetry / time.Millisecond); err != nil || ms > limit {
				ms = limit // err is that of a number that is too large
			}
			r.retry = time.Duration(ms) * time.Millisecond
			r.opening = cmp.Or(r.opening, r.retry)
		}
	}
	return nil
}

// checkEventStream refuses an answer that is not an event stream, as browsers do.
func checkEventStream(resp *http.Response) error {
	given := resp.Header.Get("Content-Type")
	// Wrong parameters after the type do not matter, so the error does not.
	if media, _, _ := mime.ParseMediaType(given); media != eventStream {
		return &StatusError{Status: resp.StatusCode, Text: "Content-Type is " + strconv.Quote(given) + ", want " + eventStream}
	}
	return nil
}

// sendable reports whether an id is sent back: it must be possible in a header field. A
// number says no more than seq does, and keeps a server from telling the position.
func sendable(id string) bool {
	return strings.Trim(id, "0123456789") != "" && strings.IndexFunc(id, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) < 0
}
