package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Transport is how a subscriber receives messages.
type Transport string

// The transports. All bring the same messages.
const (
	Stream Transport = "stream" // endless chunks, one JSON text per line
	SSE    Transport = "sse"    // server-sent events
	Iframe Transport = "iframe" // endless HTML, as for a hidden frame of a browser
	Poll   Transport = "poll"   // long polling
)

// Transports lists all transports; the first is the default.
var Transports = []Transport{Stream, SSE, Iframe, Poll}

// maxSentence bounds what is read of a short answer, in bytes.
const maxSentence = 4 << 10

// connect makes one connection and handles what it brings. It never returns nil.
func (r *run) connect() error {
	if r.Token != nil && !r.signed {
		token, err := r.Token(r.ctx, r.denied)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		r.token, r.signed = token, true
	}
	if r.silence <= 0 {
		r.askSilence()
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	limit := r.silence
	if limit <= 0 {
		limit = unknownSilence
	}
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("silent for %v", limit)) })
	defer timer.Stop()
	err := r.receive(ctx, watch{timer, limit})
	// Only a failure of the connection can come from its silence.
	if cause := context.Cause(ctx); cause != nil && r.ctx.Err() == nil && !final(err) {
		return cause
	}
	return err
}

// askSilence asks the server for its heartbeat period. If that fails, the connection that
// follows will report why.
func (r *run) askSilence() {
	ctx, cancel := context.WithTimeout(r.ctx, pingLimit)
	defer cancel()
	resp, err := request(ctx, r.http, call{method: http.MethodGet, base: r.URL, path: "/ping", query: url.Values{"cb": {""}}})
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var ping struct {
		Period int64 `json:"sub_timeout"` // seconds
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxSentence)).Decode(&ping) == nil && ping.Period > 0 {
		period := time.Duration(ping.Period) * time.Second
		r.silence = max(period*13/10, period+late)
	}
}

// watch ends a connection that brings nothing for limit. It runs only while the client
// waits for the server: time that the caller takes for a message is not the server's.
type watch struct {
	timer *time.Timer
	limit time.Duration
}

// watchedBody is a response body of which each byte is a sign of life. It reads in small
// pieces, since Read of a chunked body returns only when the piece is full or the chunk
// ends, however slowly its bytes come: a large chunk on a slow line would look silent.
type watchedBody struct {
	body  io.Reader
	watch watch
	there int // bytes read since the last wait for one
}

const (
	largestPiece = 256              // bytes
	noWait       = time.Millisecond // a read that takes no longer found its bytes there
)

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.limit)
	defer b.watch.timer.Stop()
	begun := time.Now()
	piece := min(1+b.there/64, largestPiece, len(p)) // a byte after a wait, more while they keep coming
	n, err := b.body.Read(p[:piece])
	if b.there += n; time.Since(begun) > noWait {
		b.there = 0
	}
	return n, err
}

func (r *run) receive(ctx context.Context, w watch) error {
	transport := r.Transport
	if transport == "" {
		transport = Stream
	}
	f, found := forms[transport]
	if !found {
		return &StatusError{Status: http.StatusBadRequest, Text: "there is no transport " + strconv.Quote(string(transport))}
	}
	if r.asked = r.epoch; transport == Poll && !r.told {
		// A poll of a server before 0.2 looks like one that misses nothing. Without the
		// epoch the others tell their position.
		r.asked = ""
	}
	query := url.Values{"cname": {r.Channel}, "seq": {strconv.FormatInt(r.next, 10)}, "epoch": {r.asked}}
	if r.last > 0 {
		query.Set("last", strconv.Itoa(r.last))
	}
	if r.token != "" {
		query.Set("token", r.token)
	}
	// A stored answer is an old one.
	header := http.Header{"Cache-Control": {"no-cache"}}
	if transport == SSE {
		header.Set("Accept", eventStream)
		if r.epoch == "" && sendable(r.eventID) {
			header.Set("Last-Event-ID", r.eventID)
		}
	}
	begun := time.Now()
	resp, err := request(ctx, r.http, call{method: http.MethodGet, base: r.URL, path: f.path, query: query, header: header})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if transport == SSE {
		if err := checkEventStream(resp); err != nil {
			return err
		}
	}
	if err := f.read(r, &watchedBody{body: resp.Body, watch: w}); err != nil {
		return err
	}
	switch {
	case transport != Poll:
		return errCut
	case r.moved || r.got && time.Since(begun) > leastHeartbeat:
		return errAgain
	}
	return errors.New("the server's answer has nothing new")
}

// call is a request. base is the URL that the user has given, to which path and query
// are added.
type call struct {
	method, base, path string
	query              url.Values
	body               []byte // nil: none
	key                string // sent as Authorization: Bearer; "": none
	header             http.Header
}

// addressError is a URL that no request can be made to.
type addressError struct{ text string }

func (e *addressError) Error() string { return "URL: " + e.text }

// address adds path and query to the URL of a port, which may have a path and a query of
// its own. The URL is not in errors: it may have a password in it.
func (c *call) address() (string, error) {
	const want = ", want http://host:port or https://host:port"
	u, err := url.Parse(c.base)
	switch {
	case c.base == "":
		return "", &addressError{"is missing" + want}
	case err != nil && !strings.Contains(c.base, "://"), err == nil && u.Scheme != "http" && u.Scheme != "https":
		return "", &addressError{"has no scheme http or https" + want}
	case err != nil:
		text := err.Error()
		if ue, ok := errors.AsType[*url.Error](err); ok {
			text = ue.Err.Error()
		}
		return "", &addressError{text + want}
	case u.Host == "":
		return "", &addressError{"has no host" + want}
	}
	u = u.JoinPath(c.path)
	u.Fragment = ""
	if own := u.RawQuery; own != "" && len(c.query) > 0 {
		u.RawQuery = own + "&" + c.query.Encode()
	} else if own == "" {
		u.RawQuery = c.query.Encode()
	}
	return u.String(), nil
}

// request makes a request and returns an answer with status 200, or an error.
func request(ctx context.Context, c *http.Client, what call) (*http.Response, error) {
	address, err := what.address()
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if what.body != nil {
		body = bytes.NewReader(what.body)
	}
	req, err := http.NewRequestWithContext(ctx, what.method, address, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, what.header)
	if what.key != "" {
		req.Header.Set("Authorization", "Bearer "+what.key)
	}
	resp, err := c.Do(req)
	if err != nil {
		// The address has the token in it, which must not be in error messages.
		if ue, ok := errors.AsType[*url.Error](err); ok {
			return nil, ue.Err
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSentence)) // as much as can be read
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))    // 0 if there is none
	return nil, &StatusError{
		Status: resp.StatusCode, Text: strings.TrimSpace(string(text)),
		RetryAfter: time.Duration(seconds) * time.Second,
	}
}

// get reads a whole answer with status 200.
func get(ctx context.Context, c *http.Client, base, path string, query url.Values, key string) ([]byte, error) {
	resp, err := request(ctx, c, call{method: http.MethodGet, base: base, path: path, query: query, key: key})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
