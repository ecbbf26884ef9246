package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// transportLine extracts the message from a line of an endless response; nil if the line
// has none.
var transportLine = map[Transport]func([]byte) []byte{
	Stream: func(line []byte) []byte { return line },
	SSE: func(line []byte) []byte {
		data, found := bytes.CutPrefix(line, []byte("data:"))
		if !found {
			return nil
		}
		return data
	},
	Iframe: func(line []byte) []byte {
		call, found := bytes.CutPrefix(line, []byte("<script>parent.icomet_cb("))
		if !found {
			return nil
		}
		return bytes.TrimSuffix(call, []byte(");</script>"))
	},
}

// maxLine bounds a line (a message with its framing), in bytes.
const maxLine = 64 << 20

// maxSentence bounds what is read of an error answer, in bytes.
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
	watch := time.AfterFunc(limit, func() { cancel(fmt.Errorf("silent for %v", limit)) })
	defer watch.Stop()
	err := r.receive(ctx, func() { watch.Reset(limit) })
	if cause := context.Cause(ctx); cause != nil && r.ctx.Err() == nil {
		return cause
	}
	return err
}

// askSilence asks the server for its heartbeat period. If that fails, the connection that
// follows will report why.
func (r *run) askSilence() {
	ctx, cancel := context.WithTimeout(r.ctx, pingLimit)
	defer cancel()
	b, err := get(ctx, r.http, r.address("/ping", url.Values{"cb": {""}}), "")
	if err != nil {
		return
	}
	var ping struct {
		Period int64 `json:"sub_timeout"` // seconds
	}
	if json.Unmarshal(b, &ping) == nil && ping.Period > 0 {
		period := time.Duration(ping.Period) * time.Second
		r.silence = max(period*13/10, period+late)
	}
}

func (r *run) address(path string, query url.Values) string {
	return strings.TrimSuffix(r.URL, "/") + path + "?" + query.Encode()
}

func (r *run) receive(ctx context.Context, alive func()) error {
	transport := r.Transport
	if transport == "" {
		transport = Stream
	}
	cut := transportLine[transport]
	path := "/" + string(transport)
	if transport == Poll {
		path = "/sub" // /poll without a callback
		cut = transportLine[Stream]
	}
	if cut == nil {
		return &StatusError{Status: 400, Text: "there is no transport " + strconv.Quote(string(transport))}
	}
	query := url.Values{"cname": {r.Channel}, "seq": {strconv.FormatInt(r.next, 10)}}
	if r.token != "" {
		query.Set("token", r.token)
	}
	resp, err := request(ctx, r.http, http.MethodGet, r.address(path, query), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	alive()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		alive()
		text := cut(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		list, err := decode(text)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := r.take(m); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if transport == Poll && r.got {
		return errAgain
	}
	return errors.New("the server ended the response")
}

// request makes a request and returns an answer with status 200, or an error. It sends
// key as Authorization: Bearer.
func request(ctx context.Context, c *http.Client, method, address, key string, form url.Values) (*http.Response, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
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
func get(ctx context.Context, c *http.Client, address, key string) ([]byte, error) {
	resp, err := request(ctx, c, http.MethodGet, address, key, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
