package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"icomet/channel/redis/redistest"
	"icomet/client"
	"icomet/server/servertest"
)

// witness is an inbox that also stores what OnPosition is told.
type witness struct {
	*inbox
	told chan client.Recovery
}

func witnessed(t *testing.T, sub *client.Subscriber) witness {
	t.Helper()
	told := make(chan client.Recovery, 1000)
	sub.OnPosition = func(r client.Recovery) { told <- r }
	return witness{receive(t, sub), told}
}

// TestTruth: through breaks and kills of the server a subscriber knows on every transport
// whether it has missed anything, also when the numbers alone look right.
func TestTruth(t *testing.T) {
	t.Parallel()
	for _, transport := range client.Transports {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=4", "ICOMET_FRONT_CHANNEL_TIMEOUT=600",
				"ICOMET_ENGINE_SNAPSHOT="+filepath.Join(t.TempDir(), "snapshot"),
				fmt.Sprint("ICOMET_FRONT_LISTEN=127.0.0.1:", redistest.Port(t)),
				fmt.Sprint("ICOMET_ADMIN_LISTEN=127.0.0.1:", redistest.Port(t)))
			proxy := servertest.NewProxy(t, s.Front)
			sub := &client.Subscriber{URL: proxy.URL, Channel: "a", Seq: 1, Transport: transport}
			b := witnessed(t, sub)
			if r := wait(t, b.told); !r.Recovered || r.Position.Seq != 0 {
				t.Errorf("the first time: %+v", r)
			}
			pushAll(s, "a", numbered(1, 2))
			b.want(numbered(1, 2)...)

			proxy.Away(func() { pushAll(s, "a", numbered(3, 5)) })
			if got := b.want(numbered(3, 5)...)[0]; got.Lost != 0 || got.Restarted {
				t.Errorf("after a break: %+v", got)
			}
			if r := wait(t, b.told); !r.Recovered || r.Position.Seq != 2 {
				t.Errorf("after a break: %+v", r)
			}
			proxy.Away(func() { pushAll(s, "a", numbered(6, 12)) })
			got := b.want(numbered(9, 12)...)[0]
			if r := wait(t, b.told); r.Recovered || r.Lost != 3 || r.Reason != client.ReasonTrimmed || got.Lost != 3 || got.Reason != r.Reason {
				t.Errorf("after a long break: %+v, %+v", r, got)
			}
			before := got.Epoch

			proxy.Away(func() { // its snapshot has all of it
				s.Stop()
				s.Restart()
				pushAll(s, "a", numbered(13, 14))
			})
			got = b.want(numbered(13, 14)...)[0]
			if r := wait(t, b.told); !r.Recovered || r.Position.Seq != 12 || got.Lost != 0 || got.Epoch != before {
				t.Errorf("after a restart: %+v, %+v", r, got)
			}

			proxy.Away(func() { // the new life is where the old one was
				s.Kill()
				s.Restart()
				pushAll(s, "a", numbered(1, 15))
			})
			got = b.want(numbered(12, 15)...)[0]
			r := wait(t, b.told)
			if r.Recovered || r.Lost != -1 || r.Reason != client.ReasonEpoch || got.Lost != -1 || !got.Restarted || got.Epoch == before {
				t.Errorf("after a kill: %+v, %+v", r, got)
			}
			s.WaitSubscribers("a", 1)
			s.Call("/end", "cname", "a", "content", "the last")
			b.want("the last")
			if err := wait(t, b.end); !errors.Is(err, client.ErrEnded) {
				t.Errorf("ended with %v", err)
			}
			if err := wait(t, receive(t, sub).end); !errors.Is(err, client.ErrEnded) || sub.From.Seq != 16 {
				t.Errorf("after the end: %v at %v", err, sub.From)
			}
		})
	}
}

// TestLast: the newest messages, and then live; then as any other.
func TestLast(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	pushAll(s, "a", numbered(1, 8))
	for _, transport := range client.Transports {
		b := witnessed(t, &client.Subscriber{URL: s.Front, Channel: "a", Last: 3, Transport: transport})
		if got := b.want(numbered(6, 8)...)[0]; got.Lost != 0 || got.Seq != 6 {
			t.Errorf("%s: %+v", transport, got)
		}
		if r := wait(t, b.told); !r.Recovered || r.Position.Seq != 5 {
			t.Errorf("%s: %+v", transport, r)
		}
	}
}

// losing passes calls on to a server, and loses what lose says: the answer, or the call
// too.
func losing(t *testing.T, target string, lose func(n int64) fate) string {
	t.Helper()
	var count atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := lose(count.Add(1) - 1)
		if what == lostCall {
			panic(http.ErrAbortHandler)
		}
		req, err := http.NewRequest(r.Method, target+r.URL.RequestURI(), r.Body)
		if err != nil {
			panic(err)
		}
		req.Header, req.ContentLength = r.Header, r.ContentLength
		resp, err := http.DefaultClient.Do(req)
		if err != nil || what == lostAnswer {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // the caller sees a failure
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// contents are the stored messages of a channel.
func contents(t *testing.T, s *servertest.Server, channel string, count int) []string {
	t.Helper()
	got := []string{}
	for m, err := range (&client.Subscriber{URL: s.Front, Channel: channel, Seq: 1}).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Content); len(got) == count {
			break
		}
	}
	return got
}

// TestCertain: with answers and calls lost, several publishers get each of their messages
// stored once, one by one and in batches, and know its number.
func TestCertain(t *testing.T) {
	t.Parallel()
	const each, batched = 4, 100
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_ID_WINDOW=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	gate := losing(t, s.Admin, func(n int64) fate { return []fate{lostAnswer, carriedOut, lostCall, carriedOut, carriedOut}[n%5] })
	var group sync.WaitGroup
	for p := range 3 {
		group.Go(func() {
			a := client.Admin{URL: gate}
			for i := range each {
				got, err := a.Publish(t.Context(), client.Publication{Channel: "a", Content: fmt.Sprint(p, " ", i), ID: client.NewID()})
				if err != nil || got.Position.Seq < 1 || len(got.Position.Epoch) != 8 {
					t.Errorf("%+v %v", got, err)
				}
			}
		})
	}
	group.Go(func() {
		results, err := (&client.Admin{URL: gate}).Batch(t.Context(), publications(batched, "a"))
		if err != nil || len(results) != batched {
			t.Errorf("%d results, %v", len(results), err)
		}
	})
	group.Wait()
	got := contents(t, s, "a", 3*each+batched)
	inOrder := slices.DeleteFunc(slices.Clone(got), func(text string) bool { return text[0] != 'm' })
	if !slices.Equal(inOrder, numbered(1, batched)) {
		t.Errorf("the batch is stored as %q", inOrder)
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 3*each+batched {
		t.Errorf("%d different messages of %d", n, 3*each+batched)
	}
	if signed, err := (&client.Admin{URL: s.Admin}).Clear(t.Context(), "a"); signed != 3*each+batched+1 || err != nil {
		t.Errorf("the next number is %d, %v", signed, err)
	}
}

// TestAgree: of several writers one gets each number; the others learn where the channel
// is.
func TestAgree(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 5
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			a, next, epoch := client.Admin{URL: s.Admin}, int64(1), ""
			for done := 0; done < each; {
				got, err := a.Publish(t.Context(), client.Publication{Channel: "a", Content: fmt.Sprint(next), IfSeq: next, Epoch: epoch})
				if conflict, ok := errors.AsType[*client.ConflictError](err); ok {
					if next = conflict.Position.Seq + 1; errors.Is(err, client.ErrEnded) {
						t.Errorf("%v", err)
						return
					}
					continue
				}
				if err != nil || got.Position.Seq != next {
					t.Errorf("%+v %v, want number %d", got, err, next)
					return
				}
				epoch, next, done = got.Position.Epoch, next+1, done+1
			}
		})
	}
	group.Wait()
	for i, text := range contents(t, s, "a", writers*each) {
		if text != fmt.Sprint(i+1) {
			t.Errorf("message %d is %q", i+1, text)
		}
	}
	_, err := (&client.Admin{URL: s.Admin}).Publish(t.Context(), client.Publication{Channel: "none", IfSeq: 5})
	if conflict, ok := errors.AsType[*client.ConflictError](err); !ok || conflict.Position != (client.Position{}) || conflict.Text == "" {
		t.Errorf("no channel: %v", err)
	}
}

// TestEndForReal: the calls that end a channel, and what comes after.
func TestEndForReal(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	a, ctx := client.Admin{URL: s.Admin}, t.Context()
	if _, err := a.End(ctx, "a"); err == nil || errors.Is(err, client.ErrTooOld) {
		t.Errorf("no channel: %v", err)
	}
	s.Push("a", "m1")
	for range 2 {
		if next, err := a.End(ctx, "a"); next != 2 || err != nil {
			t.Errorf("%d %v", next, err)
		}
	}
	gate := client.Admin{URL: losing(t, s.Admin, func(n int64) fate { return []fate{lostAnswer, carriedOut, carriedOut}[n] })}
	if next, err := gate.PublishEnd(ctx, client.Publication{Channel: "b", Content: "all", ID: client.NewID()}); next != 2 || err != nil {
		t.Errorf("%d %v", next, err)
	}
	if got := contents(t, s, "b", 1); got[0] != "all" {
		t.Errorf("stored %q", got)
	}
	for _, channel := range []string{"a", "b"} {
		_, err := a.Publish(ctx, client.Publication{Channel: channel, Content: "late"})
		if conflict, ok := errors.AsType[*client.ConflictError](err); !ok || !errors.Is(err, client.ErrEnded) || conflict.Position.Seq != 1 {
			t.Errorf("%v", err)
		}
		if err := a.Push(ctx, channel, "late"); !errors.Is(err, client.ErrEnded) || client.Temporary(err) {
			t.Errorf("%v", err)
		}
	}
	results, err := a.Batch(ctx, []client.Publication{{Channel: "a"}, {Channel: "c", Content: "x"}})
	if err != nil || !errors.Is(results[0].Err, client.ErrEnded) || results[1].Seq != 1 {
		t.Errorf("%+v %v", results, err)
	}
	if err := a.BroadcastID(ctx, "to all", "x"); err != nil {
		t.Error(err)
	}
	if err := a.BroadcastID(ctx, "to all", "x"); err != nil {
		t.Error(err)
	}
	if next, err := a.Clear(ctx, "c"); next != 3 || err != nil {
		t.Errorf("after a repeated broadcast: %d %v", next, err)
	}
}
