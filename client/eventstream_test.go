package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"icomet/client"
)

// TestEventStream reads event streams by the rules of the HTML standard (server-sent
// events, parsing and interpreting an event stream), whatever wrote them.
func TestEventStream(t *testing.T) {
	t.Parallel()
	const half, rest = `{"type":"data","cname":"a",`, `"seq":1,"content":"m1"}`
	m1, m2 := message(1), message(2)
	for _, c := range []struct {
		name, body string
		want       []string // contents
		id         string   // Last-Event-ID of the next request
	}{
		{"old form", "id: e1\ndata: " + m1 + "\n\nid: e2\ndata: " + m2 + "\n\n", numbered(1, 2), "e2"},
		{"a number, which seq says too", "id: 1\ndata: " + m1 + "\n\n", numbered(1, 1), ""},
		{"new form", "retry: 20\ndata: " + m1 + "\nid: e-1\n\ndata: " + m2 + "\nid: e-2\n\n", numbered(1, 2), "e-2"},
		{"CRLF", "id: e1\r\ndata: " + m1 + "\r\n\r\ndata: " + m2 + "\r\n\r\n", numbered(1, 2), "e1"},
		{"CR", "id: e1\rdata: " + m1 + "\r\rdata: " + m2 + "\r\r", numbered(1, 2), "e1"},
		{"mixed line ends", "id: e1\ndata: " + m1 + "\r\r\ndata: " + m2 + "\r\n\n", numbered(1, 2), "e1"},
		{"several data lines", "data: " + half + "\ndata:" + rest + "\n\n", numbered(1, 1), ""},
		{"an empty data line within", "data:" + half + "\ndata\ndata:\ndata: " + rest + "\n\n", numbered(1, 1), ""},
		{"a comment within", "data:" + half + "\n: hello\n:\ndata: " + rest + "\n\n", numbered(1, 1), ""},
		{"byte order mark", "\ufeffdata: " + m1 + "\n\n", numbered(1, 1), ""},
		{"byte order mark twice", "\ufeff\ufeffdata: " + m1 + "\n\n\ufeffdata: " + m1 + "\n\ndata: " + m2 + "\n\n", numbered(2, 2), ""},
		{"no space, more spaces", "data:" + m1 + "\n\ndata:   " + m2 + "\n\n", numbered(1, 2), ""},
		{"other fields", "Data: " + m1 + "\n data: " + m1 + "\nfoo: " + m1 + "\nfoo\ndata: " + m2 + "\n\n", numbered(2, 2), ""},
		{"other events", "event: other\ndata: " + m1 + "\n\nevent: message\ndata: " + m1 + "\n\nevent: x\nevent\ndata: " + m2 + "\n\n", numbered(1, 2), ""},
		{"the name does not stay", "event: other\n\ndata: " + m1 + "\n\n", numbered(1, 1), ""},
		{"no data", "data\n\ndata:\n\nevent: message\n\n\n\ndata: " + m1 + "\n\n", numbered(1, 1), ""},
		{"id without data", "data: " + m1 + "\n\nid: e9\n\n", numbered(1, 1), "e9"},
		{"empty id", "id: e9\ndata: " + m1 + "\n\nid\n\n", numbered(1, 1), ""},
		{"id with NUL", "id: e9\ndata: " + m1 + "\n\nid: e1\x000\ndata: " + m2 + "\n\n", numbered(1, 2), "e9"},
		{"id with spaces and colon", "id:  a : b\ndata: " + m1 + "\n\n", numbered(1, 1), "a : b"},
		{"id that no header can have", "id: e9\ndata: " + m1 + "\n\nid: \x01\n\n", numbered(1, 1), ""},
		{"cut before the end of an event", "id: e1\ndata: " + m1 + "\n\nid: e2\ndata: " + m2 + "\n", numbered(1, 1), "e1"},
		{"cut behind an id", "data: " + m1 + "\nid: e1\n\nid: e2\n", numbered(1, 1), "e1"},
		{"cut within a line", "data: " + m1 + "\nid: e1\n\nid: e25", numbered(1, 1), "e1"},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " slowly=", slowly), func(t *testing.T) {
				t.Parallel()
				s := startScript(t, answer{body: c.body, slowly: slowly}, answer{body: "data: " + message(3) + "\n\n", open: true})
				sub := &client.Subscriber{URL: s.URL, Channel: "a", Seq: 1, Transport: client.SSE, MinBackoff: time.Millisecond}
				b := receive(t, sub)
				b.want(append(c.want, "m3")...)
				first, second := wait(t, s.requests), wait(t, s.requests)
				if got := first.Header.Values("Last-Event-ID"); len(got) > 0 {
					t.Errorf("the first request has Last-Event-ID %q", got)
				}
				if got := second.Header.Get("Last-Event-ID"); got != c.id {
					t.Errorf("the next request has Last-Event-ID %q, want %q", got, c.id)
				}
				for _, r := range []*http.Request{first, second} {
					if accept, cache := r.Header.Get("Accept"), r.Header.Get("Cache-Control"); accept != "text/event-stream" || cache != "no-cache" {
						t.Errorf("Accept is %q, Cache-Control %q", accept, cache)
					}
				}
				if got, want := second.URL.Query().Get("seq"), fmt.Sprint(len(c.want)+1); c.want[0] == "m1" && got != want {
					t.Errorf("the next request has seq %s, want %s", got, want)
				}
			})
		}
	}
}

// TestEventAtCR: an event that ends with CR is delivered before another byte comes.
func TestEventAtCR(t *testing.T) {
	t.Parallel()
	s := startScript(t, answer{body: "data: " + message(1) + "\r\r", open: true})
	receive(t, &client.Subscriber{URL: s.URL, Channel: "a", Seq: 1, Transport: client.SSE}).want("m1")
}

// TestRetry: the wait is at least the last retry that is a number, also that of a
// response that ended without an event.
func TestRetry(t *testing.T) {
	t.Parallel()
	const asked = 300 * time.Millisecond
	for _, c := range []struct {
		body string
		want time.Duration
	}{
		{"retry: 300\n", asked},
		{"retry:300\r\n\r\n", asked},
		{"retry: 300\ndata: " + message(1) + "\n\nretry: 5x\nretry: -7\nretry: +7\nretry: 1.5\nretry:\nretry\nretry:  7\n", asked},
		{"retry: 90000\nretry: 300\n\n", asked},
		{"retry: 300", 0},
		{"retry: 300 \n\n", 0},
		{"data: x\n\n", 0},
	} {
		s := startScript(t, answer{body: c.body})
		waits := make(chan time.Duration, 10)
		sub := &client.Subscriber{
			URL: s.URL, Channel: "a", Seq: 1, Transport: client.SSE,
			MinBackoff: time.Millisecond, OnError: func(_ error, wait time.Duration) { waits <- wait },
		}
		go func() {
			for _, err := range sub.Messages(t.Context()) {
				if err != nil {
					return
				}
			}
		}()
		if got := wait(t, waits); got < c.want || got > c.want*3/2+2*time.Millisecond {
			t.Errorf("%q: waits %v, want %v or a little more", c.body, got, c.want)
		}
	}
}

// TestEventStreamRefused: what no browser takes for an event stream ends Messages; an
// error that may pass does not.
func TestEventStreamRefused(t *testing.T) {
	t.Parallel()
	body := "data: " + message(1) + "\n\n"
	for _, c := range []struct {
		answer answer
		want   string // the error; "": none
	}{
		{answer{status: 204}, client.ErrEnded.Error()},
		{answer{status: 400, body: "why"}, "HTTP 400: why"},
		{answer{status: 404, body: body}, "HTTP 404: data"},
		{answer{status: 501}, "HTTP 501"},
		{answer{status: 206, body: body}, "HTTP 206"},
		{answer{media: "text/html", body: body}, `HTTP 200: Content-Type is "text/html", want text/event-stream`},
		{answer{media: "text/event-streams", body: body}, "HTTP 200"},
		{answer{media: "x; text/event-stream", body: body}, "HTTP 200"},
		{answer{media: "Text/Event-Stream; charset=utf-8", body: body}, ""},
		{answer{media: "text/event-stream;charset", body: body}, ""},
		{answer{status: 503, body: "later"}, ""},
		{answer{status: 408}, ""},
		{answer{status: 429}, ""},
	} {
		s := startScript(t, c.answer, answer{body: body})
		b := receive(t, &client.Subscriber{URL: s.URL, Channel: "a", Seq: 1, Transport: client.SSE})
		if c.want == "" {
			b.want("m1")
			continue
		}
		if err := wait(t, b.end); !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: ended with %v, want %s", c.answer, err, c.want)
		}
		if len(b.messages) > 0 || len(s.requests) != 1 {
			t.Errorf("%+v: %d messages, %d requests", c.answer, len(b.messages), len(s.requests))
		}
	}
}

// TestStopAt204: 204 means that nothing more comes, on every transport.
func TestStopAt204(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		s := startScript(t, answer{status: http.StatusNoContent})
		b := receive(t, &client.Subscriber{URL: s.URL, Channel: "a", Seq: 1, Transport: transport})
		if err := wait(t, b.end); !errors.Is(err, client.ErrEnded) || len(s.requests) != 1 {
			t.Errorf("%s: ended with %v after %d requests", transport, err, len(s.requests))
		}
	}
}

// TestRestartForgetsTheEventID: after a restart of the numbering the client asks for all
// that is stored, which the id of the old numbering must not undo.
func TestRestartForgetsTheEventID(t *testing.T) {
	t.Parallel()
	s := startScript(t,
		answer{body: "id: e7\ndata: " + message(7) + "\n\n"},
		answer{body: "id: e2\ndata: " + `{"type":"next_seq","cname":"a","seq":3,"content":""}` + "\n\n", open: true},
		answer{body: "id: e1\ndata: " + message(1) + "\n\n", open: true})
	got := receive(t, &client.Subscriber{URL: s.URL, Channel: "a", Seq: 7, Transport: client.SSE}).want("m7", "m1")[1]
	if !got.Restarted {
		t.Errorf("got %+v", got)
	}
	wait(t, s.requests)
	wait(t, s.requests)
	if r := wait(t, s.requests); r.Header.Get("Last-Event-ID") != "" || r.URL.Query().Get("seq") != "1" {
		t.Errorf("asked with %s and Last-Event-ID %q", r.URL, r.Header.Get("Last-Event-ID"))
	}
}
