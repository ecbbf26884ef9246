package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"icomet/client"
)

// silentServer answers /ping with a heartbeat period, and a subscriber with as many
// heartbeats; then it is silent.
type silentServer struct {
	period     time.Duration
	heartbeats int
}

func (s silentServer) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	if req.URL.Path == "/ping" {
		go func() {
			fmt.Fprintf(w, `{"type":"ping","sub_timeout":%d}`, s.period/time.Second)
			w.Close()
		}()
	} else {
		go s.serve(req.Context(), w)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: r, Header: http.Header{}, Request: req}, nil
}

func (s silentServer) serve(ctx context.Context, w *io.PipeWriter) {
	for range s.heartbeats {
		time.Sleep(s.period)
		fmt.Fprintln(w, `{"type":"noop","cname":"a","seq":1,"content":""}`)
	}
	<-ctx.Done()
	w.CloseWithError(ctx.Err())
}

// TestSilenceLasts: a connection is given up when nothing has come for 1.3 heartbeats, or
// one and 1.5 s more, whichever is longer.
func TestSilenceLasts(t *testing.T) {
	for _, c := range []struct {
		period time.Duration
		own    time.Duration // Subscriber.Silence
		want   time.Duration
	}{
		{2 * time.Second, 0, 3500 * time.Millisecond},
		{30 * time.Second, 0, 39 * time.Second},
		{30 * time.Second, 45 * time.Second, 45 * time.Second},
		{0, 0, 78 * time.Second}, // the server does not say
	} {
		synctest.Test(t, func(t *testing.T) {
			const heartbeats = 3
			start := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var failure error
			var noticed time.Duration
			sub := client.Subscriber{
				URL: "http://test", Channel: "a", Silence: c.own,
				HTTP: &http.Client{Transport: silentServer{c.period, heartbeats}},
				OnError: func(err error, _ time.Duration) {
					failure, noticed = err, time.Since(start)
					cancel()
				},
			}
			for m, err := range sub.Messages(ctx) {
				if err == nil {
					t.Errorf("got %+v", m)
				}
			}
			if want := heartbeats*c.period + c.want; noticed != want {
				t.Errorf("period %v: noticed after %v, want %v", c.period, noticed, want)
			}
			if want := fmt.Sprint("silent for ", c.want); failure == nil || !strings.Contains(failure.Error(), want) {
				t.Errorf("period %v: failure %v, want %s", c.period, failure, want)
			}
		})
	}
}

// dribble sends one message on any transport, a byte at a time.
type dribble struct {
	period time.Duration // of the heartbeats that the server is said to have
	size   int           // of the message's content
	each   time.Duration // for a byte
	mu     sync.Mutex
	asked  int // requests for a channel
}

func (d *dribble) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	resp := &http.Response{StatusCode: http.StatusOK, Body: r, Header: http.Header{}, Request: req}
	if req.URL.Path == "/ping" {
		go func() {
			fmt.Fprintf(w, `{"type":"ping","sub_timeout":%d}`, d.period/time.Second)
			w.Close()
		}()
		return resp, nil
	}
	resp.Header.Set("Content-Type", "text/event-stream")
	d.mu.Lock()
	d.asked++
	d.mu.Unlock()
	text := `{"type":"data","cname":"a","seq":1,"content":"` + strings.Repeat("x", d.size) + `"}`
	switch req.URL.Path {
	case "/sse":
		text = "data: " + text + "\n\n"
	case "/iframe":
		text = "<script>parent.icomet_cb(" + text + ");</script>\n"
	case "/sub":
		text = "[" + text + "]\n"
	}
	go func() {
		for _, c := range []byte(text) {
			time.Sleep(d.each)
			if _, err := w.Write([]byte{c}); err != nil {
				return
			}
		}
		<-req.Context().Done()
		w.CloseWithError(req.Context().Err())
	}()
	return resp, nil
}

// TestBytesAreLife: a message that takes longer than the longest silence arrives over one
// connection, on every transport.
func TestBytesAreLife(t *testing.T) {
	for _, transport := range overHTTP {
		synctest.Test(t, func(t *testing.T) {
			server := &dribble{period: 2 * time.Second, size: 900, each: 10 * time.Millisecond}
			sub := client.Subscriber{
				URL: "http://test", Channel: "a", Seq: 1, Transport: transport, HTTP: &http.Client{Transport: server},
				OnError: func(err error, _ time.Duration) { t.Errorf("%s: %v", transport, err) },
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for m, err := range sub.Messages(ctx) {
				if err != nil || len(m.Content) != server.size || server.asked != 1 {
					t.Errorf("%s: %.20s… %v, %d connections", transport, m.Content, err, server.asked)
				}
				break
			}
			time.Sleep(time.Second) // until the server has noticed
		})
	}
}

// TestSlowCaller: the time that the caller takes for a message is not the server's
// silence.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &dribble{period: 2 * time.Second, size: 1}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start, noticed := time.Now(), time.Duration(0)
		sub := client.Subscriber{
			URL: "http://test", Channel: "a", Seq: 1, HTTP: &http.Client{Transport: server},
			OnError: func(error, time.Duration) {
				noticed = time.Since(start)
				cancel()
			},
		}
		for _, err := range sub.Messages(ctx) {
			if err == nil {
				time.Sleep(time.Minute)
			}
		}
		if want := time.Minute + 3500*time.Millisecond; noticed != want {
			t.Errorf("given up after %v, want %v", noticed, want)
		}
	})
}
