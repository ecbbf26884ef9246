package web_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// slowLink is a TCP proxy whose answers come at a limited rate.
type slowLink struct {
	URL  string
	rate atomic.Int64 // bytes a second for each connection; 0: no limit
}

func newSlowLink(t *testing.T, target string, rate int64) *slowLink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &slowLink{URL: "http://" + ln.Addr().String()}
	l.rate.Store(rate)
	var pipes sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() {
		ln.Close()
		close(ended)
		pipes.Wait()
	})
	pipes.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(target, "http://"))
			if err != nil {
				in.Close()
				continue
			}
			done := make(chan struct{})
			pipes.Go(func() {
				_, _ = io.Copy(out, in)
				in.Close()
				out.Close()
			})
			pipes.Go(func() {
				defer close(done)
				l.pass(in, out)
				in.Close()
				out.Close()
			})
			pipes.Go(func() {
				select {
				case <-ended:
				case <-done:
				}
				in.Close()
				out.Close()
			})
		}
	})
	return l
}

// pass sends small pieces, each when the one before would have arrived.
func (l *slowLink) pass(to io.Writer, from io.Reader) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if rate := l.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

const lengths = "got.map(c => c.length)"

// TestLargeOnSlowLink: a message that takes longer than the client waits for a heartbeat
// arrives, over one connection where the bytes can be seen. Where only whole messages can
// be seen, the client becomes more patient.
func TestLargeOnSlowLink(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=1") // the client waits 2.5 s
	link := newSlowLink(t, s.Front, 100_000)
	site := newSite(t, s.Front)
	const size = 600_000
	pages := map[string]*browser.Page{}
	for _, name := range append([]string{"event source"}, transports...) {
		transport, script := name, ""
		if name == "event source" { // as in a browser that cannot stream with fetch
			transport, script = "sse", "delete Response.prototype.body"
		}
		p := browser.Start(t).Open(t, site.URL, browser.Before(script))
		pages[name] = p
		connect(p, name, fmt.Sprintf("seq: 1, subUrl: %q, transports: [%q]", link.URL, transport))
		s.Push(name, "m1")
		p.Want("got", `["m1"]`)
		s.Push(name, strings.Repeat("x", size))
	}
	for name, p := range pages {
		p.Want("["+lengths+", "+js(name)+"][0]", fmt.Sprint("[2,", size, "]"))
		s.Push(name, "m3")
		p.Want("got.at(-1)", `"m3"`)
		p.Want("got.length", "3")
		p.Want("events", "[]")
		if name != "ws" && name != "jsonp" && name != "event source" {
			p.Want("states.filter(s => s.startsWith('waiting'))", "[]")
		}
		p.WantNoMistakes()
	}
}

// TestFollowerOnSlowLink: a tab that follows another catches up, however long its link
// takes for the stored messages.
func TestFollowerOnSlowLink(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	link := newSlowLink(t, s.Front, 0)
	b := browser.Start(t)
	site := newSite(t, s.Front)
	leader, follower := b.Open(t, site.URL), b.Open(t, site.URL)
	share(leader, fmt.Sprintf("seq: 1, subUrl: %q", link.URL))
	want := []int{}
	for range 9 {
		s.Push("a", strings.Repeat("x", 100_000))
		want = append(want, 100_000)
	}
	leader.Want(lengths, js(want))
	link.rate.Store(100_000)
	follower.Run("window.began = performance.now()")
	share(follower, fmt.Sprintf("seq: 1, subUrl: %q", link.URL))
	follower.Run("comets[0].on('message', () => window.took ??= performance.now() - began); null")
	s.Push("a", "live")
	follower.Want(lengths, js(append(want, 4)))
	follower.Want("took > 6000", "true") // else it is not the case that is tested
	s.WaitSubscribers("a", 1)
	follower.Want("events", "[]")
	follower.WantNoMistakes()
}

// TestClockIsSet: the clock of the machine is set while there is a connection. A healthy
// one is kept, a dead one is noticed as soon as ever.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=1")
	site := newSite(t, s.Front)
	type watched struct {
		name  string
		p     *browser.Page
		proxy *servertest.Proxy
	}
	var all []watched
	for _, hours := range []int{-1, 1} {
		for _, options := range []string{"share: false, transports: ['sse']", "share: false, transports: ['jsonp']", "share: true"} {
			w := watched{fmt.Sprint(hours, " hours, ", options), browser.Start(t).Open(t, site.URL), servertest.NewProxy(t, s.Front)}
			w.p.Run(fmt.Sprintf("connect({channel: 'a', seq: 1, subUrl: %q, %s}); null", w.proxy.URL, options))
			w.p.Want("comets[0].state", `"open"`)
			w.p.Run(fmt.Sprintf("{ const real = Date.now; Date.now = () => real() + %d * 3600000 } null", hours))
			all = append(all, w)
		}
	}
	for _, w := range all {
		w.p.Run("new Promise(r => setTimeout(r, Math.max(0, 4500 - performance.now())))") // some heartbeats
		w.p.Want("states.filter(s => s.startsWith('waiting'))", "[]")
		start := time.Now()
		w.proxy.Freeze(true)
		w.p.Want("states.some(s => s.startsWith('waiting'))", "true")
		if d := time.Since(start); d > 10*time.Second { // 2.5 s and a busy machine
			t.Errorf("%s: noticed after %v", w.name, d)
		}
		w.p.Close()
	}
}
