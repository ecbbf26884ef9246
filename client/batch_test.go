package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"icomet/client"
)

// publications are messages m1, m2, … for the channels in turn.
func publications(count int, channels ...string) (list []client.Publication) {
	for i := range count {
		list = append(list, client.Publication{Channel: channels[i%len(channels)], Content: fmt.Sprint("m", i/len(channels)+1)})
	}
	return list
}

// TestBatch: all messages are published once, in order, in pieces that can be repeated,
// whatever gets lost.
func TestBatch(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(int, *http.Request) fate{
		"no trouble":   nil,
		"every second": func(n int, r *http.Request) fate { return fate(n % 2) },
		"calls and busy": func(n int, r *http.Request) fate {
			return []fate{lostCall, carriedOut, busy, carriedOut, lostAnswer}[n%5]
		},
		"answers at once": after(lostAnswer, carriedOut, carriedOut, lostAnswer),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFakeAdmin(t)
			f.trouble = trouble
			a, _ := worried(f)
			results, err := a.Batch(t.Context(), publications(300, "a", "b"))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if r.Seq != int64(i/2+1) || r.Err != nil {
					t.Fatalf("result %d is %+v", i, r)
				}
			}
			for _, channel := range []string{"a", "b"} {
				if got := f.contents(channel); !slices.Equal(got, numbered(1, 150)) {
					t.Errorf("%s has %d messages: %q", channel, len(got), got)
				}
			}
			if f.mu.Lock(); slices.Max(f.sizes) != 128 {
				t.Errorf("sizes %d", f.sizes)
			}
			f.mu.Unlock()
		})
	}
}

// TestBatchSizes: a request is not larger than the server takes; a message that is too
// large itself is refused alone.
func TestBatchSizes(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	a, failures := worried(f)
	ctx := t.Context()
	list := publications(10, "a")
	for i := range list {
		list[i].Content = strings.Repeat("x", 200<<10)
	}
	list[4].Content = strings.Repeat("x", 700<<10) // more than goes into one request with others
	if results, err := a.Batch(ctx, list); err != nil || results[9].Seq != 10 || results[4].Err != nil || len(*failures) > 0 {
		t.Errorf("%+v %v %q", results, err, *failures)
	}
	f.limit = 300
	list = publications(40, "b")
	list[17].Content = strings.Repeat("x", 1000)
	results, err := a.Batch(ctx, list)
	if err != nil || results[39].Seq != 39 || len(f.contents("b")) != 39 {
		t.Errorf("%+v %v", results, err)
	}
	if status, ok := errors.AsType[*client.StatusError](results[17].Err); !ok || status.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%v", results[17].Err)
	}
}

// TestBatchResults: a message that is refused does not stop the others, and one that
// cannot be sent is not sent.
func TestBatchResults(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	a, _ := worried(f)
	results, err := a.Batch(t.Context(), []client.Publication{
		{Channel: "a", Content: "one", ID: "x"}, {Channel: "a", Content: "bad"}, {Channel: "a", Content: `t\u0077o`, Encoded: true},
		{Channel: "a", Content: `"`, Encoded: true}, {Channel: "a", IfSeq: 7}, {Channel: "a", Epoch: epoch}, {Channel: "a", Content: "one", ID: "x"},
	})
	if err != nil || !slices.Equal(f.contents("a"), []string{"one", "two"}) {
		t.Errorf("%v, stored %q", err, f.contents("a"))
	}
	for i, want := range []string{"1 false <nil>", "0 false HTTP 400: bad", "2 false <nil>", "0 false HTTP 400: content is not the body of a JSON string",
		"0 false a message of a batch cannot have IfSeq or Epoch", "0 false a message of a batch cannot have IfSeq or Epoch", "1 true <nil>"} {
		if got := fmt.Sprint(results[i].Seq, " ", results[i].Duplicate, " ", results[i].Err); got != want {
			t.Errorf("result %d is %s, want %s", i, got, want)
		}
	}
	if results, err := a.Batch(t.Context(), nil); len(results) > 0 || err != nil {
		t.Errorf("nothing: %+v %v", results, err)
	}
}

// TestBatchLater: a line that the server refuses for a time is sent again, before those
// that have not been sent.
func TestBatchLater(t *testing.T) {
	t.Parallel()
	for _, garbage := range []string{"nonsense", "", `{"type":"x"}` + "\n", `{"type":"ok"}` + "\n" + `{"type":"ok"}` + "\n"} {
		t.Run(garbage, func(t *testing.T) {
			t.Parallel()
			testBatchLater(t, garbage)
		})
	}
}

func testBatchLater(t *testing.T, garbage string) {
	answers := []string{
		`{"type":"ok","seq":1}` + "\n" + `{"type":"error","status":503,"content":"later"}` + "\n",
		`{"type":"error","status":429,"content":"too many"}` + "\n",
		garbage,
		`{"type":"ok","seq":2}` + "\n",
	}
	bodies := make(chan string, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		b := new(strings.Builder)
		_ = r.Write(b)
		bodies <- b.String()
		fmt.Fprint(w, answers[0])
		answers = answers[1:]
	}))
	t.Cleanup(web.Close)
	waits := 0
	a := client.Admin{URL: web.URL, OnError: func(error, time.Duration) { waits++ }}
	results, err := a.Batch(t.Context(), publications(2, "a"))
	if err != nil || results[0].Seq != 1 || results[1].Seq != 2 || results[1].Err != nil || waits != 3 {
		t.Errorf("%+v %v after %d waits", results, err, waits)
	}
	if first := wait(t, bodies); !strings.Contains(first, "m1") || !strings.Contains(first, "m2") {
		t.Errorf("the first request is %s", first)
	}
	for range 3 {
		if next := wait(t, bodies); strings.Contains(next, "m1") || !strings.Contains(next, "m2") {
			t.Errorf("a later request is %s", next)
		}
	}
}

// TestBatchEnds: when ctx ends, what is not known is said not to be known.
func TestBatchEnds(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.trouble = func(n int, _ *http.Request) fate {
		if n == 0 {
			return carriedOut
		}
		return lostAnswer
	}
	a := client.Admin{URL: f.URL, OnError: func(error, time.Duration) { cancel() }}
	results, err := a.Batch(ctx, publications(100, "a"))
	if !errors.Is(err, context.Canceled) || results[63].Err != nil || results[63].Seq != 64 || !errors.Is(results[64].Err, context.Canceled) || !errors.Is(results[99].Err, context.Canceled) {
		t.Errorf("%v: %+v", err, results)
	}
}
