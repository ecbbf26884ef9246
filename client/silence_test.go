package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
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
