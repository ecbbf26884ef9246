package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icomet/client"
	"icomet/server/servertest"
)

// TestPubWaits: while the server is away, or refuses for a time, the lines wait; each is
// published once, in order.
func TestPubWaits(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	var busy atomic.Int64 // publishes to be refused
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && busy.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		req, _ := http.NewRequest(r.Method, s.Admin+r.URL.Path, r.Body) // such a request was there before
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(http.ErrAbortHandler) // the server is away
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // a failure is the command's
	}))
	t.Cleanup(gate.Close)
	for _, admin := range []string{s.Admin, gate.URL} {
		r, w := io.Pipe()
		c := startReading(t, s, r, "pub", "a", "-", "--admin", admin)
		published := func(want string) {
			t.Helper()
			n := strings.Count(want, "\n")
			if got := runs(t, s, "sub", "a", "-q", "--seq", "1", "-n", fmt.Sprint(n)); got != want {
				t.Errorf("published %q, want %q", got, want)
			}
		}
		fmt.Fprint(w, "one\n")
		published("one\n")
		s.Kill()
		fmt.Fprint(w, "two\nthree\n")
		servertest.CheckFor(t, servertest.Patience, func() error {
			if got := c.stderr.String(); strings.Count(got, "again in ") < 2 {
				return errors.New("told " + got)
			}
			return nil
		})
		s.Restart()
		published("two\nthree\n")
		busy.Store(2)
		fmt.Fprint(w, "four\nfive")
		w.Close()
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		published("two\nthree\nfour\nfive\n")
		if got := runs(t, s, "clear", "a"); got != "ok, the next message is number 5\n" {
			t.Errorf("after four messages clear printed %q", got)
		}
		runs(t, s, "close", "a")
	}
}

// TestPubGoesOn: a line that is refused for what it is does not stop the others.
func TestPubGoesOn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_LIMITS_BODY=1KiB")
	c := start(t, s, "one\n"+strings.Repeat("x", 2000)+"\n"+strings.Repeat("x", maxLine+1)+"\r\nfour\r\n\nsix", "pub", "a", "-")
	if err := c.end(); err == nil || err.Error() != "2 lines were not published" {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{"line 2 is not published: HTTP 413", "line 3 is not published: longer than 16 MiB"} {
		if got := c.stderr.String(); !strings.Contains(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if got := runs(t, s, "sub", "a", "--seq", "1", "-n", "4"); got != "one\nfour\n\nsix\n" {
		t.Errorf("published %q", got)
	}
	c = start(t, s, "bad \"\ngood\n", "pub", "b", "-", "--encoded")
	if err := c.end(); err == nil || !strings.Contains(c.stderr.String(), "line 1 is not published: HTTP 400") {
		t.Errorf("ended with %v, told %q", err, c.stderr)
	}
	if got := runs(t, s, "sub", "b", "--seq", "1", "-n", "1"); got != "good\n" {
		t.Errorf("published %q", got)
	}
	err := start(t, s, "x\ny\n", "pub", strings.Repeat("a", 256), "-").end() // no line can be published
	if status, ok := errors.AsType[*client.StatusError](err); !ok || status.Status != http.StatusBadRequest {
		t.Errorf("ended with %v", err)
	}
}

// TestWatchReconnects: --watch goes on after the server was away, and tells of the
// channels that went meanwhile.
func TestWatchReconnects(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, append(ownPorts(t), "ICOMET_FRONT_CHANNEL_TIMEOUT=600")...)
	proxy := servertest.NewProxy(t, s.Admin)
	c := start(t, s, "", "channels", "--watch", "--admin", proxy.URL)
	watched := func() {
		s.CheckFor(servertest.Patience, func() error {
			if !strings.Contains(s.Call("/stats"), `"psub":1`) {
				return errors.New("nobody watches")
			}
			return nil
		})
	}
	watched()
	for _, name := range []string{"stays", "goes"} {
		s.Call("/sign", "cname", name)
	}
	c.wantOutput("+ stays\n+ goes\n")
	proxy.Freeze(true)
	proxy.Cut()
	s.Call("/close", "cname", "goes")
	proxy.Freeze(false)
	c.wantOutput("+ stays\n+ goes\n- goes\n")
	watched()
	s.Call("/sign", "cname", "new")
	c.wantOutput("+ stays\n+ goes\n- goes\n+ new\n")
	s.Kill()
	s.Restart()
	c.wantOutput("+ stays\n+ goes\n- goes\n+ new\n- new\n- stays\n")
	c.stop()
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

// TestSubTakesItsTime: a message that takes longer than the longest silence, and a list
// that is larger than the largest message, arrive.
func TestSubTakesItsTime(t *testing.T) {
	t.Parallel()
	const count, size = 17, 4 << 20
	content := strings.Repeat("x", size)
	var asked atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ping":
			fmt.Fprint(w, `{"type":"ping","sub_timeout":3}`)
		case "/stream":
			asked.Add(1)
			tick := time.NewTicker(150 * time.Millisecond)
			defer tick.Stop()
			for _, c := range `{"type":"data","cname":"a","seq":1,"content":"slow"}` {
				<-tick.C
				fmt.Fprintf(w, "%c", c)
				w.(http.Flusher).Flush()
			}
		case "/sub":
			for n := range count {
				fmt.Fprintf(w, `%c{"type":"data","cname":"a","seq":%d,"content":"%s"}`, "[,"[min(n, 1)], n+1, content)
			}
			fmt.Fprint(w, "]\n")
		}
	}))
	t.Cleanup(web.Close)
	if got := runs(t, nil, "sub", "a", "--seq", "1", "-n", "1", "--front", web.URL); got != "slow\n" || asked.Load() != 1 {
		t.Errorf("printed %q over %d connections", got, asked.Load())
	}
	if got := runs(t, nil, "sub", "a", "--seq", "1", "-n", fmt.Sprint(count), "-t", "poll", "--front", web.URL); len(got) != count*(size+1) {
		t.Errorf("printed %d bytes, want %d", len(got), count*(size+1))
	}
}

// TestSubStops: what would not change is not tried again.
func TestSubStops(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ping") {
			return
		}
		status := 0
		fmt.Sscanf(r.URL.Path, "/%d/", &status)
		w.WriteHeader(status)
	}))
	t.Cleanup(web.Close)
	c := start(t, nil, "", "sub", "a", "--front", web.URL+"/204")
	if err := c.end(); err != nil || !strings.Contains(c.stderr.String(), "the channel has ended") {
		t.Errorf("204: ended with %v, told %q", err, c.stderr)
	}
	for _, status := range []int{400, 403, 404, 501} {
		err := start(t, nil, "", "sub", "a", "--front", fmt.Sprint(web.URL, "/", status)).end()
		if got, ok := errors.AsType[*client.StatusError](err); !ok || got.Status != status {
			t.Errorf("%d: ended with %v", status, err)
		}
	}
	err := start(t, nil, "", "sub", "a", "--front", "http://").end()
	if err == nil || !strings.Contains(err.Error(), "no host") {
		t.Errorf("a URL without a host: ended with %v", err)
	}
}
