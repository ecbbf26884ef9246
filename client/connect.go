package client

import (
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

// The transports. All bring the same messages. Stream is the default: it is plain HTTP,
// which passes every proxy and every http.RoundTripper. WebSocket is worth asking for when
// a MultiSubscriber's channels come and go: it needs no new connection then.
const (
	Stream    Transport = "stream" // endless chunks, one JSON text per line
	SSE       Transport = "sse"    // server-sent events
	Iframe    Transport = "iframe" // endless HTML, as for a hidden frame of a browser
	Poll      Transport = "poll"   // long polling
	WebSocket Transport = "ws"     // from version 0.2 of the server on
)

// Transports lists all transports; the first is the default.
var Transports = []Transport{Stream, SSE, Iframe, Poll, WebSocket}

// longQuery is what a URL may have of channels, in bytes: servers and proxies take request
// lines of 8 KiB.
const longQuery = 4000

// connect makes one connection and handles what it brings. It never returns nil.
func (r *run) connect() error {
	r.roster.drain()
	list, err := r.wanted()
	if err != nil {
		return err
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
	if r.transport == WebSocket {
		err = r.receiveFrames(ctx, list, watch{timer, limit})
	} else {
		if r.many {
			defer r.reconnectOnChange(ctx, cancel)()
		}
		err = r.receive(ctx, list, watch{timer, limit})
	}
	// Only a failure of the connection can come from its silence, or from a change.
	if cause := context.Cause(ctx); cause != nil && r.ctx.Err() == nil && !final(err) {
		return cause
	}
	return err
}

// settle is how long a change of the channels waits for others, before a new connection is
// made for all of them. While connections are ended by changes before they have brought
// anything, as they are when changes come faster than the server can answer, each has twice
// the time of the last one, up to mostGrace.
const (
	settle    = 20 * time.Millisecond
	mostGrace = 2 * time.Second
)

// reconnectOnChange ends the connection when the channels change. The function that it
// returns ends the watching.
func (r *run) reconnectOnChange(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	done, least := make(chan struct{}), time.Now().Add(r.grace)
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-r.roster.changed:
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(settle, time.Until(least))):
			cancel(errAgain)
		}
	}()
	return func() {
		cancel(nil)
		<-done // a later change is the next connection's
	}
}

// askSilence asks the server for its heartbeat period. If that fails, the connection that
// follows will report why.
func (r *run) askSilence() {
	ctx, cancel := context.WithTimeout(r.ctx, pingLimit)
	defer cancel()
	resp, err := request(ctx, r.http, call{method: http.MethodGet, base: r.url, path: "/ping", query: "cb="})
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

// ask remembers that the channels are asked for, and returns the parameters. The order is
// that of the list: what stands behind a cname belongs to it.
func (r *run) ask(list []*subscription) string {
	var query strings.Builder
	for _, s := range list {
		r.asked[s.name], s.stale = s, false
		if s.asked = s.epoch; r.transport == Poll && !s.told {
			// A poll of a server before 0.2 looks like one that misses nothing. Without the
			// epoch the others tell their position.
			s.asked = ""
		}
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		fmt.Fprintf(&query, "cname=%s&seq=%d&epoch=%s", url.QueryEscape(s.name), s.next, s.asked)
		if s.last > 0 {
			query.WriteString("&last=" + strconv.Itoa(s.last))
		}
		if s.token != "" {
			query.WriteString("&token=" + url.QueryEscape(s.token))
		}
	}
	return query.String()
}

func (r *run) receive(ctx context.Context, list []*subscription, w watch) error {
	f, found := forms[r.transport]
	if !found {
		return &StatusError{Status: http.StatusBadRequest, Text: "there is no transport " + strconv.Quote(string(r.transport))}
	}
	// A stored answer is an old one.
	what := call{method: http.MethodGet, base: r.url, path: f.path, query: r.ask(list), header: http.Header{"Cache-Control": {"no-cache"}}}
	if r.transport == SSE {
		what.header.Set("Accept", eventStream)
		if only := list[0]; !r.many && only.epoch == "" && sendable(r.eventID) {
			what.header.Set("Last-Event-ID", r.eventID)
		}
	}
	if len(list) > 1 && len(what.query) > longQuery {
		what.method, what.body, what.query = http.MethodPost, []byte(what.query), ""
		what.header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	begun := time.Now()
	resp, err := request(ctx, r.http, what)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if r.transport == SSE {
		if err := checkEventStream(resp); err != nil {
			return err
		}
	}
	if err := f.read(r, &watchedBody{body: resp.Body, watch: w}); err != nil {
		return err
	}
	switch {
	case r.many && len(r.asked) == 0: // all are refused, or ended
		return errAgain
	case r.transport != Poll:
		return errCut
	case r.moved || r.got && time.Since(begun) > leastHeartbeat:
		return errAgain
	}
	return errors.New("the server's answer has nothing new")
}
