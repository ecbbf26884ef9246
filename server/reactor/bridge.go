package reactor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"icomet/httpparse"
	"icomet/server/wire"
)

const (
	// maxBridged bounds the requests that handlers of net/http work on at a time.
	maxBridged = 8
	// maxBridgedBody bounds the answer of one, in bytes: it is held in memory.
	maxBridgedBody  = 64 << 20
	bridgedBodyText = "64MiB"
	// bridgedTime bounds how long one may take; a profile of pprof takes as long as
	// it is asked to.
	bridgedTime = 2 * time.Minute
)

// bridge runs handlers of net/http, which may block, on goroutines of their own, and
// answers on the connection's loop. Its methods are concurrency-safe.
type bridge struct {
	ctx  context.Context // ends with the server
	stop context.CancelFunc

	mu      sync.Mutex // a leaf lock
	running sync.WaitGroup
	n       int // Requests under way
	stopped bool
}

func newBridge() *bridge {
	b := new(bridge)
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// enter takes a place, if there is one. The caller owes leave.
func (b *bridge) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped || b.n == maxBridged {
		return false
	}
	b.n++
	b.running.Add(1)
	return true
}

func (b *bridge) leave() {
	b.mu.Lock()
	b.n--
	b.mu.Unlock()
	b.running.Done()
}

// close cancels what is under way and waits for it.
func (b *bridge) close() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
}

// Bridge has h answer r, on a goroutine of its own. The answer takes its place behind
// those before it.
func (c *Conn) Bridge(r *Request, h http.Handler) {
	l := c.loop
	b := l.reactor.bridge
	if !b.enter() {
		c.Refuse(r, 503, fmt.Sprintf("busy with %d requests of this kind; try again", maxBridged))
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, bridgedTime)
	a := &Answer{Conn: c, connLine: r.Connection, cors: r.CORS, cancel: cancel}
	ex := c.exchange()
	ex.pending = append(ex.pending, a)
	req, headOnly := httpRequest(ctx, r), r.Method == httpparse.HEAD
	go func() {
		defer b.leave()
		defer cancel()
		w := &bridgeWriter{header: make(http.Header), status: 200}
		l.reactor.serveBridged(w, req, h)
		text := w.answer(a, headOnly)
		l.post(func() {
			if w.status >= 400 {
				l.stats.refused(w.status)
			}
			a.text = text
			a.arrived()
		})
	}()
}

// serveBridged recovers a panic of the handler, as net/http's server does.
func (r *Reactor) serveBridged(w *bridgeWriter, req *http.Request, h http.Handler) {
	defer func() {
		if r.crashOnPanic {
			return
		}
		if e := recover(); e != nil {
			r.panicked(e, debug.Stack())
			w.fail(500, "the handler has failed")
		}
	}()
	h.ServeHTTP(w, req)
}

// httpRequest copies what a handler needs of r.
func httpRequest(ctx context.Context, r *Request) *http.Request {
	req := &http.Request{
		Method: "GET", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:    &url.URL{Path: string(r.Path), RawQuery: string(r.Query)},
		Header: make(http.Header), Host: string(r.Get("host")),
		Body: io.NopCloser(strings.NewReader(string(r.body))), ContentLength: int64(len(r.body)),
	}
	if r.Method == httpparse.POST {
		req.Method = "POST"
	}
	for i := range r.Fields {
		req.Header.Add(string(r.Fields[i].Name), string(r.Fields[i].Value))
	}
	return req.WithContext(ctx)
}

// bridgeWriter is an http.ResponseWriter that keeps the answer in memory.
type bridgeWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
	full   bool
}

func (w *bridgeWriter) Header() http.Header    { return w.header }
func (w *bridgeWriter) WriteHeader(status int) { w.status = status }

func (w *bridgeWriter) Write(p []byte) (int, error) {
	if w.full || w.body.Len()+len(p) > maxBridgedBody {
		w.full = true
		return 0, fmt.Errorf("the answer is over %s", bridgedBodyText)
	}
	return w.body.Write(p)
}

func (w *bridgeWriter) fail(status int, text string) {
	w.status, w.header, w.full = status, http.Header{"Content-Type": {wire.ContentText}}, false
	w.body.Reset()
	w.body.WriteString(text + "\n")
}

// answer is the whole answer, as it goes out.
func (w *bridgeWriter) answer(a *Answer, headOnly bool) []byte {
	if w.full {
		w.fail(500, "the answer is over "+bridgedBodyText)
	}
	h := wire.Head{Status: w.status, Date: a.Conn.loop.reactor.dateText(), Ctype: w.header.Get("Content-Type"), Length: w.body.Len(), CORS: a.cors, Connection: a.connLine}
	if h.Ctype == "" {
		h.Ctype = http.DetectContentType(w.body.Bytes())
	}
	if h.Status == 503 {
		h.RetryIn = 1
	}
	for _, name := range []string{"Content-Disposition", "Content-Encoding", "Vary"} {
		if value := w.header.Get(name); value != "" {
			h.Fields += name + ": " + value + "\r\n"
		}
	}
	if headOnly {
		return h.Append(nil)
	}
	return append(h.Append(make([]byte, 0, 1024+w.body.Len())), w.body.Bytes()...)
}
