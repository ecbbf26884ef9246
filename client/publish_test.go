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
	"testing/synctest"
	"time"

	"icomet/client"
)

// worried is an Admin of which the test can see what it repeats.
func worried(f *fakeAdmin) (*client.Admin, *[]string) {
	failures := &[]string{}
	return &client.Admin{URL: f.URL, OnError: func(err error, wait time.Duration) {
		*failures = append(*failures, err.Error())
		if wait < 250*time.Millisecond || wait > 30*time.Second {
			*failures = append(*failures, fmt.Sprint("waits ", wait))
		}
	}}, failures
}

// after gives the first requests their fates; the later ones are carried out.
func after(fates ...fate) func(int, *http.Request) fate {
	return func(n int, _ *http.Request) fate {
		if n < len(fates) {
			return fates[n]
		}
		return carriedOut
	}
}

func TestPublishIsCertain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fates     []fate
		requests  []string
		failures  int
		duplicate bool
	}{
		{nil, []string{"POST /push"}, 0, false},
		{[]fate{lostAnswer}, []string{"POST /push", "GET /batch", "POST /push"}, 1, true},
		{[]fate{lostCall}, []string{"POST /push", "GET /batch", "POST /push"}, 1, false},
		{[]fate{lostAnswer, lostCall}, []string{"POST /push", "GET /batch", "GET /batch", "POST /push"}, 2, true},
		{[]fate{busy, carriedOut, lostAnswer}, []string{"POST /push", "GET /batch", "POST /push", "POST /push"}, 2, true},
	} {
		t.Run(fmt.Sprint(c.fates), func(t *testing.T) {
			t.Parallel()
			f := startFakeAdmin(t)
			f.trouble = after(c.fates...)
			a, failures := worried(f)
			got, err := a.Publish(t.Context(), client.Publication{Channel: "a", Content: "x", ID: client.NewID()})
			if err != nil || got.Position.String() != epoch+"-1" || got.Duplicate != c.duplicate || len(f.contents("a")) != 1 {
				t.Errorf("%+v %v, stored %q", got, err, f.contents("a"))
			}
			if got := f.asked(); !slices.Equal(got, c.requests) || len(*failures) != c.failures {
				t.Errorf("requests %q, failures %q", got, *failures)
			}
		})
	}
}

// TestPublishOnce: without an id there is one try.
func TestPublishOnce(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	a, failures := worried(f)
	p := client.Publication{Channel: "a", Content: `a \"word\"`, Encoded: true}
	if got, err := a.Publish(t.Context(), p); err != nil || got.Position.Seq != 1 || got.Duplicate || f.asked()[0] != "POST /pub" {
		t.Errorf("%+v %v %q", got, err, f.asked())
	}
	f.trouble = after(carriedOut, lostAnswer)
	if _, err := a.Publish(t.Context(), p); err == nil || len(f.asked()) != 2 || len(*failures) > 0 {
		t.Errorf("%v, %d requests, %q", err, len(f.asked()), *failures)
	}
}

func TestConflict(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	a, _ := worried(f)
	ctx := t.Context()
	publish := func(ifSeq int64, content string) error {
		_, err := a.Publish(ctx, client.Publication{Channel: "a", Content: content, IfSeq: ifSeq, ID: "of " + content})
		return err
	}
	wants := func(err error, ended bool) {
		t.Helper()
		conflict, ok := errors.AsType[*client.ConflictError](err)
		if !ok || conflict.Position.String() != epoch+"-2" || conflict.Text == "" || errors.Is(err, client.ErrEnded) != ended || client.Temporary(err) {
			t.Fatalf("%v (%+v), ended %v", err, conflict, errors.Is(err, client.ErrEnded))
		}
		if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != http.StatusConflict || !strings.Contains(err.Error(), "409") {
			t.Errorf("%v is no status 409", err)
		}
	}
	for i, content := range []string{"one", "two"} {
		if err := publish(int64(i+1), content); err != nil {
			t.Fatal(err)
		}
	}
	wants(publish(2, "another"), false)
	if next, err := a.End(ctx, "a"); next != 3 || err != nil {
		t.Errorf("end: %d %v", next, err)
	}
	wants(publish(0, "late"), true)
	wants(publish(3, "late"), true)
	wants(publish(2, "late"), false)
	results, err := a.Batch(ctx, []client.Publication{{Channel: "a", Content: "late"}, {Channel: "b", Content: "x"}})
	if err != nil || !errors.Is(results[0].Err, client.ErrEnded) || results[1].Err != nil || results[1].Seq != 1 {
		t.Errorf("%+v %v", results, err)
	}
	// An answer that does not look like the server's.
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a proxy's", http.StatusConflict) }))
	t.Cleanup(web.Close)
	_, err = (&client.Admin{URL: web.URL}).Publish(ctx, client.Publication{Channel: "a"})
	if conflict, ok := errors.AsType[*client.ConflictError](err); !ok || conflict.Text != "a proxy's" || conflict.Position != (client.Position{}) {
		t.Errorf("%v", err)
	}
}

func TestPublishEnd(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	f.trouble = after(lostAnswer)
	a, failures := worried(f)
	next, err := a.PublishEnd(t.Context(), client.Publication{Channel: "a", Content: `the \"last\"`, Encoded: true, ID: "x"})
	if next != 2 || err != nil || len(*failures) != 1 || fmt.Sprint(f.contents("a")) != `[the "last"]` {
		t.Errorf("%d %v, %q, stored %q", next, err, *failures, f.contents("a"))
	}
	for _, p := range []client.Publication{{Channel: "a", IfSeq: 1}, {Channel: "a", Epoch: epoch}, {Channel: "a", Content: `"`, Encoded: true}} {
		if _, err := a.PublishEnd(t.Context(), p); err == nil || len(f.asked()) != 3 {
			t.Errorf("%+v: %v, %q", p, err, f.asked())
		}
	}
}

func TestBroadcastID(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	f.trouble = after(lostAnswer)
	a, _ := worried(f)
	if err := a.BroadcastID(t.Context(), "to all", "x"); err != nil || fmt.Sprint(f.contents("")) != "[to all]" {
		t.Errorf("%v, %q", err, f.contents(""))
	}
}

// TestPublishToOldServer: a server that does not know ids is not asked twice, and what it
// cannot do is not taken for done.
func TestPublishToOldServer(t *testing.T) {
	t.Parallel()
	f := startFakeAdmin(t)
	f.old = true
	a, _ := worried(f)
	ctx := t.Context()
	if got, err := a.Publish(ctx, client.Publication{Channel: "a", Content: "x", ID: "y"}); err != nil || got != (client.Published{}) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := a.Publish(ctx, client.Publication{Channel: "a", Content: "x", IfSeq: 7}); !errors.Is(err, client.ErrTooOld) || client.Temporary(err) {
		t.Errorf("if_seq: %v", err)
	}
	f.trouble = func(n int, _ *http.Request) fate { return []fate{carriedOut, carriedOut, lostAnswer, carriedOut}[n] }
	if _, err := a.Publish(ctx, client.Publication{Channel: "a", Content: "x", ID: "y"}); !errors.Is(err, client.ErrTooOld) {
		t.Errorf("a lost answer: %v", err)
	}
	if len(f.contents("a")) != 3 {
		t.Errorf("stored %q", f.contents("a"))
	}
	f.trouble = nil
	if results, err := a.Batch(ctx, []client.Publication{{Channel: "a"}}); !errors.Is(err, client.ErrTooOld) || !errors.Is(results[0].Err, client.ErrTooOld) {
		t.Errorf("batch: %+v %v", results, err)
	}
}

// silentAdmin is a transport on which no answer comes.
type silentAdmin struct{ asked int }

func (s *silentAdmin) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked++
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// TestPublishLimit: a try that is not answered is given up after 30 s; the end of ctx
// ends all of them.
func TestPublishLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &silentAdmin{}
		begun, failures := time.Now(), []string{}
		a := client.Admin{URL: "http://test", HTTP: &http.Client{Transport: server}, OnError: func(err error, _ time.Duration) {
			failures = append(failures, fmt.Sprint(err, " after ", time.Since(begun).Round(time.Second)))
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		_, err := a.Publish(ctx, client.Publication{Channel: "a", ID: "x"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 45*time.Second || server.asked != 2 {
			t.Errorf("%v after %v, %d calls", err, time.Since(begun), server.asked)
		}
		if fmt.Sprint(failures) != "[the server does not answer after 30s]" {
			t.Errorf("failures %q", failures)
		}
	})
}
