package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"icomet/client"
)

// quickServer answers in the fake time of a synctest bubble.
type quickServer struct {
	t      *testing.T
	delay  time.Duration                                                 // before each answer
	answer func(n int, req *http.Request) (messages []string, open bool) // n from 0

	mu    sync.Mutex
	asked []time.Duration // when, since the start
	start time.Time
	stop  context.CancelFunc
}

// quick returns a server, and a context that ends after a while or with a storm of requests,
// which would leave no time to pass.
func quick(t *testing.T, while time.Duration) (*quickServer, context.Context) {
	ctx, cancel := context.WithTimeout(t.Context(), while)
	return &quickServer{t: t, start: time.Now(), stop: cancel}, ctx
}

func (s *quickServer) requests() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *quickServer) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	resp := &http.Response{StatusCode: http.StatusOK, Body: r, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: req}
	if req.URL.Path == "/ping" {
		resp.Body = io.NopCloser(strings.NewReader(`{"type":"ping","sub_timeout":30}`))
		return resp, nil
	}
	s.mu.Lock()
	n := len(s.asked)
	s.asked = append(s.asked, time.Since(s.start))
	s.mu.Unlock()
	if n == 2000 {
		s.t.Errorf("a storm: %d requests in %v", n, time.Since(s.start))
		s.stop()
	}
	select {
	case <-time.After(s.delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	messages, open := s.answer(n, req)
	if len(messages) == 0 && open { // a poll has no head then
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	transport := client.Transports[slices.Index([]string{"/stream", "/sse", "/iframe", "/sub"}, req.URL.Path)]
	go func() {
		_, _ = io.WriteString(w, framed(transport, messages...).body) // the client may have left
		if open {
			<-req.Context().Done()
		}
		w.Close()
	}()
	return resp, nil
}

// onEach runs f in a bubble for each transport whose bytes the tests write themselves.
func onEach(t *testing.T, f func(t *testing.T, transport client.Transport)) {
	t.Helper()
	for _, transport := range overHTTP {
		t.Run(string(transport), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, transport) })
		})
	}
}

func (s *quickServer) sub(transport client.Transport, starts ...client.Start) *client.MultiSubscriber {
	sub := &client.MultiSubscriber{URL: "http://test", Transport: transport, HTTP: &http.Client{Transport: s}}
	if err := sub.Add(starts...); err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// TestAcceptedAndRefused: a token that is accepted and then refused, again and again, makes
// no storm.
func TestAcceptedAndRefused(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, time.Minute)
		defer server.stop()
		server.answer = func(int, *http.Request) ([]string, bool) {
			return []string{position(epoch, 5, 0, ""), control("401", 0)}, false
		}
		multi := server.sub(transport, client.Start{Channel: "a"})
		multi.Token = func(context.Context, string, int) (string, error) { return "t", nil }
		for range multi.Messages(ctx) {
		}
		single := client.Subscriber{URL: "http://test", Channel: "a", Transport: transport, HTTP: multi.HTTP}
		single.Token = func(context.Context, int) (string, error) { return "t", nil }
		multis := len(server.requests())
		ctx, server.stop = context.WithTimeout(t.Context(), time.Minute)
		defer server.stop()
		for range single.Messages(ctx) {
		}
		for _, n := range []int{multis, len(server.requests()) - multis} {
			if n < 5 || n > 5*60 {
				t.Errorf("%d connections in a minute", n)
			}
		}
	})
}

// TestTwoServers: a proxy that hands out two servers in turns, which know nothing of each
// other, makes no storm of polls.
func TestTwoServers(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, time.Minute)
		defer server.stop()
		server.answer = func(n int, _ *http.Request) ([]string, bool) {
			name := []string{epoch, another}[n%2]
			return []string{position(name, 1, -1, client.ReasonEpoch), message(1)}, false
		}
		count := 0
		for m, err := range server.sub(transport, client.Start{Channel: "a", From: at(another, 7)}).Messages(ctx) {
			if err == nil {
				count++
				if m.Lost != -1 || !m.Restarted {
					t.Errorf("got %+v", m)
				}
			}
		}
		if n := len(server.requests()); n > 5*60 || count < n-1 {
			t.Errorf("%d connections in a minute, %d messages", n, count)
		}
	})
}

// TestAddedAgain: a channel that OnEnd adds again each time that it ends makes no storm.
func TestAddedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, time.Minute)
		defer server.stop()
		server.answer = func(int, *http.Request) ([]string, bool) {
			return []string{position(epoch, 5, 0, ""), control("end", 5)}, false
		}
		sub, ends := server.sub(transport, client.Start{Channel: "a"}), 0
		sub.OnEnd = func(last client.Start, err error) {
			ends++
			if err := sub.Add(last); err != nil {
				t.Error(err)
			}
		}
		for range sub.Messages(ctx) {
		}
		if n := len(server.requests()); n < 60 || n > 5*60 || ends < n-1 {
			t.Errorf("%d connections and %d ends in a minute", n, ends)
		}
	})
}

// TestRetryOfOne: what the server wants of a client whose channel is refused, it does not
// want of the others on the connection.
func TestRetryOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, ctx := quick(t, 9*time.Second)
		defer server.stop()
		server.answer = func(int, *http.Request) ([]string, bool) {
			refusal := named(control("429", 0), "full") + "\n\ndata: "
			return []string{"\nretry: 15000\ndata: " + refusal + position(epoch, 5, 0, "")}, false
		}
		for range server.sub(client.SSE, client.Start{Channel: "full"}, client.Start{Channel: "a"}).Messages(ctx) {
		}
		if n := len(server.requests()); n < 10 {
			t.Errorf("%d connections in 9 seconds", n)
		}
	})
}

// TestRefusedTogether: channels that are refused together are asked for again together,
// and one that was removed meanwhile is no reason for a new connection.
func TestRefusedTogether(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, 40*time.Second)
		defer server.stop()
		starts := []client.Start{{Channel: "a"}}
		for n := range 20 {
			starts = append(starts, client.Start{Channel: fmt.Sprint("full", n)})
		}
		server.answer = func(n int, req *http.Request) (list []string, _ bool) {
			for _, name := range req.URL.Query()["cname"] {
				if name == "a" {
					list = append(list, position(epoch, 5, 0, ""))
				} else {
					list = append(list, named(control("429", 0), name))
				}
			}
			return list, transport != client.Poll
		}
		if transport == client.Poll { // one that goes on being polled
			full := server.answer
			server.answer = func(n int, req *http.Request) ([]string, bool) {
				if len(req.URL.Query()["cname"]) == 1 {
					return nil, true
				}
				return full(n, req)
			}
		}
		sub := server.sub(transport, starts...)
		sub.Silence = time.Hour
		removed := 0
		time.AfterFunc(20*time.Second, func() { // after the second refusal
			removed = len(server.requests())
			for _, start := range starts[1:] {
				sub.Remove(start.Channel)
			}
		})
		for range sub.Messages(ctx) {
		}
		// One at first, one for what was refused, one or two for a poll that goes on after each.
		if all := len(server.requests()); removed > 4 || all > removed+1 {
			t.Errorf("%d connections until the removal, %d in all: %v", removed, all, server.requests())
		}
	})
}

// TestChangesWithoutEnd: channels that come and go faster than the server answers do not
// keep the others from their messages.
func TestChangesWithoutEnd(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, time.Minute)
		defer server.stop()
		server.delay = 300 * time.Millisecond
		server.answer = func(_ int, req *http.Request) (list []string, _ bool) {
			q := req.URL.Query()
			for i, name := range q["cname"] {
				if name == "a" {
					seq := max(1, atoi(q["seq"][i]))
					list = append(list, position(epoch, seq, 0, ""), message(seq))
				} else {
					list = append(list, named(position(epoch, 1, 0, ""), name))
				}
			}
			return list, transport != client.Poll
		}
		sub := server.sub(transport, client.Start{Channel: "a", Seq: 1})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ctx.Err() == nil; n++ {
				if err := sub.Add(client.Start{Channel: fmt.Sprint("x", n)}); err != nil {
					t.Error(err)
				}
				sub.Remove(fmt.Sprint("x", n-1))
				time.Sleep(30 * time.Millisecond)
			}
		}()
		count := 0
		for m, err := range sub.Messages(ctx) {
			if count++; err == nil && (m.Seq != int64(count) || m.Lost != 0) {
				t.Errorf("got %+v", m)
			}
		}
		if count < 10 {
			t.Errorf("%d messages in a minute", count)
		}
		<-done
	})
}

func atoi(text string) (n int) {
	_, _ = fmt.Sscan(text, &n) // 0 if it is none
	return n
}

// TestLargestBackoff: waits that are as long as can be are no fault, and a success makes the
// next wait short again, with Poll too.
func TestLargestBackoff(t *testing.T) {
	onEach(t, func(t *testing.T, transport client.Transport) {
		server, ctx := quick(t, time.Hour)
		defer server.stop()
		server.answer = func(int, *http.Request) ([]string, bool) { return nil, false }
		waits := []time.Duration{}
		sub := server.sub(transport, client.Start{Channel: "a"})
		sub.MinBackoff, sub.MaxBackoff = 1<<63-1, time.Second
		sub.OnError = func(_ error, wait time.Duration) {
			if waits = append(waits, wait); len(waits) == 70 {
				server.stop()
			}
		}
		for range sub.Messages(ctx) {
		}
		if longest := slices.Max(waits); len(waits) != 70 || longest > 1250*time.Millisecond {
			t.Errorf("waited %d times, up to %v", len(waits), longest)
		}

		server, ctx = quick(t, time.Hour)
		defer server.stop()
		seq := 0
		server.answer = func(n int, _ *http.Request) ([]string, bool) {
			if n%2 == 0 {
				return nil, false // a failure
			}
			seq++
			return []string{position(epoch, seq, 0, ""), message(seq)}, false
		}
		longest := time.Duration(0)
		sub = server.sub(transport, client.Start{Channel: "a", Seq: 1})
		sub.OnError = func(_ error, wait time.Duration) { longest = max(longest, wait) }
		for m, err := range sub.Messages(ctx) {
			if err != nil || m.Seq == 30 {
				break
			}
		}
		// Of the stream transports, the end of each response is a failure after a success.
		if seq != 30 || longest > time.Second {
			t.Errorf("%d messages; waited %v", seq, longest)
		}
	})
}
