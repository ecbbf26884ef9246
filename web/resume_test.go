package web_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestResume cuts the connections between messages. Each message must arrive once and in
// order, also those published while there is no connection, and also when the transport
// changes each time.
func TestResume(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	proxy := servertest.NewProxy(t, s.Front)
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			p := b.Open(t, site.URL)
			defer p.Close()
			connect(p, name, fmt.Sprintf("subUrl: %q, transports: [%q]", proxy.URL+"/poll", name))
			s.WaitSubscribers(name, 1)
			n := 0
			push := func(count int) {
				pushAll(s, name, numbered("m", n+1, n+count))
				n += count
			}
			for range 5 {
				push(3)
				p.Want("got.length", fmt.Sprint(n))
				proxy.Cut()
				push(20)
				p.Want("got.length", fmt.Sprint(n))
			}
			p.Want("got", js(numbered("m", 1, n)))
			p.Want("events", "[]")
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
		})
	}
}

func TestResumeOverTransportChanges(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	n := 0
	next := "1"
	for round := range 12 {
		connect(p, "a", fmt.Sprintf("seq: %s, transports: [%q]", next, transports[round%len(transports)]))
		pushAll(s, "a", numbered("m", n+1, n+7))
		n += 7
		p.Want("got.length >= 3", "true")
		next = p.Text("{ const c = comets.pop(); c.stop(); String(c.seq) }")
	}
	connect(p, "a", "seq: "+next)
	p.Want("got", js(numbered("m", 1, n)))
	p.WantNoMistakes()
}

// ignoresEpoch is the server as one of 0.1, which knows neither positions nor WebSocket.
func ignoresEpoch(t *testing.T, s *servertest.Server) string {
	t.Helper()
	front, err := url.Parse(s.Front)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // answers end early when the server is killed
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(front)
			q := r.Out.URL.Query()
			q.Del("epoch")
			r.Out.URL.RawQuery = q.Encode()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return newPlainServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
}

// TestRestart: the new server numbers from 1 again. The client reports that, and gets
// what was published before it reconnected, also when the new numbers have passed the old.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(*servertest.Server)
		front func(*testing.T, *servertest.Server) string
		by    []string
		more  int // messages of the new life
	}{
		{"kill", (*servertest.Server).Kill, nil, transports, 6},
		{"drain", (*servertest.Server).Stop, nil, transports, 2},
		{"kill, without positions", (*servertest.Server).Kill, ignoresEpoch, transports[1:], 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := servertest.Start(t)
			front := s.Front
			if c.front != nil {
				front = c.front(t, s)
			}
			p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
			for _, name := range c.by {
				connect(p, name, fmt.Sprintf("subUrl: %q, transports: [%q], retryMin: 300", front, name))
				s.WaitSubscribers(name, 1)
				pushAll(s, name, numbered(name+" old ", 1, 3))
			}
			p.Want("got.length", fmt.Sprint(3*len(c.by)))
			c.end(s)
			p.Want("comets.every(c => c.state === 'waiting' || c.state === 'connecting')", "true")
			s.Restart()
			for _, name := range c.by {
				pushAll(s, name, numbered(name+" new ", 1, c.more))
			}
			p.Want("comets.every(c => c.state === 'open')", "true")
			for _, name := range c.by {
				want := append(numbered(name+" old ", 1, 3), numbered(name+" new ", 1, c.more)...)
				p.Want(fmt.Sprintf("got.filter(c => c.startsWith('%s '))", name), js(want))
			}
			reset, lost := map[string]any{"type": "reset", "seq": 4}, map[string]any{"type": "lost", "lost": "unknown", "reason": "epoch"}
			p.Want("events", js(slices.Repeat([]any{reset, lost}, len(c.by))))
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
		})
	}
}

// TestGap: messages that have left the buffer are reported.
func TestGap(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=4", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	for name, front := range map[string]string{"with positions": s.Front, "without": ignoresEpoch(t, s)} {
		p := b.Open(t, newSite(t, s.Front).URL)
		connect(p, name, fmt.Sprintf("subUrl: %q", front))
		s.WaitSubscribers(name, 1)
		s.Push(name, "m1")
		p.Want("got", `["m1"]`)
		p.Run("comets[0].stop()")
		s.WaitSubscribers(name, 0)
		pushAll(s, name, numbered("m", 2, 10))
		p.Run("comets[0].start()")
		p.Want("got", js(append([]string{"m1"}, numbered("m", 7, 10)...)))
		p.Want("events", `[{"type":"gap","lost":{"from":2,"to":6}},{"type":"lost","lost":{"from":2,"to":6},"reason":"trimmed"}]`)
	}
}

// TestDeadConnection: a connection that is silent for longer than 1.3 heartbeats is given
// up, although nothing shows that it broke.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=2")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			proxy := servertest.NewProxy(t, s.Front)
			p := b.Open(t, site.URL)
			defer p.Close()
			connect(p, name, fmt.Sprintf("subUrl: %q, transports: [%q]", proxy.URL, name))
			p.Want("comets[0].state", `"open"`)
			s.Push(name, "m1")
			p.Want("got", `["m1"]`)
			start := time.Now()
			proxy.Freeze(true)
			p.Want("states.some(s => s.startsWith('waiting'))", "true") // it does not wait for long
			// Half a heartbeat may have passed already. The check runs once a second.
			if d := time.Since(start); d < 500*time.Millisecond || d > 6*time.Second {
				t.Errorf("noticed after %v", d)
			}
			s.Push(name, "m2")
			proxy.Freeze(false)
			proxy.Cut()
			p.Want("got", `["m1","m2"]`)
			p.Run("comets[0].stop()")
		})
	}
}

// TestHeartbeatsKeepIt: a healthy connection survives many periods without a message.
func TestHeartbeatsKeepIt(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_POLLING_TIMEOUT=1")
	proxy := servertest.NewProxy(t, s.Front)
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	connect(p, "a", fmt.Sprintf("subUrl: %q, transports: ['sse']", proxy.URL))
	p.Want("comets[0].state", `"open"`)
	p.Run("new Promise(r => setTimeout(r, 5000))") // the time itself is tested
	p.Want("states", `["connecting sse","open sse"]`)
	p.WantNoMistakes()
}

// TestOffline: the client reacts at once when the browser reports that the network is
// gone or back.
func TestOffline(t *testing.T) {
	s := servertest.Start(t)
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	connect(p, "a", "retryMin: 20000, retryMax: 600000")
	p.Want("comets[0].state", `"open"`)
	setOffline(p, true)
	p.Want("comets[0].state", `"offline"`)
	s.Push("a", "m1")
	setOffline(p, false)
	p.Want("comets[0].state", `"open"`)
	p.Want("got", `["m1"]`)
}

// TestBackOff: while there is no server, each wait is up to twice as long as the one
// before, and half of it is random, so that clients do not return at the same time.
func TestBackOff(t *testing.T) {
	s := servertest.Start(t)
	dead := servertest.NewProxy(t, "http://127.0.0.1:1") // accepts and closes
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	p.Run("window.waits = [[], []]; null")
	for i := range 2 {
		connect(p, "a", fmt.Sprintf("subUrl: %q, retryMin: 40, retryMax: 640", dead.URL))
		p.Run(fmt.Sprintf("comets[%[1]d].on('state', e => e.state === 'waiting' && waits[%[1]d].push(e.retryIn)); null", i))
	}
	p.Want("waits.every(w => w.length >= 7)", "true")
	// Waits before the listener was added are missing.
	p.Want(`waits.every(w => w.every((wait, i) => {
		const fits = n => wait >= Math.floor(20 * 2 ** n) && wait <= Math.min(640, 40 * 2 ** n);
		return fits(Math.min(i, 4)) || fits(Math.min(i + 1, 4));
	}))`, "true")
	p.Want("waits[0].slice(-3).join() !== waits[1].slice(-3).join()", "true")
	p.Want("waits.every(w => w.at(-1) >= 320)", "true")
}

// TestSeenAgain: when the user returns to the page, the client does not wait any longer.
func TestSeenAgain(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	for _, event := range []string{
		"document.dispatchEvent(new Event('visibilitychange'))",
		"dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))", // from the back/forward cache
		"dispatchEvent(new Event('online'))",
	} {
		proxy := servertest.NewProxy(t, s.Front)
		p := b.Open(t, newSite(t, s.Front).URL)
		connect(p, "a", fmt.Sprintf("seq: 1, subUrl: %q, retryMin: 1200000, retryMax: 1200000", proxy.URL))
		p.Want("comets[0].state", `"open"`)
		proxy.Cut()
		p.Want("comets[0].state", `"waiting"`)
		s.Push("a", "m1")
		p.Run("Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))")
		p.Want("comets[0].state", `"waiting"`) // nobody looks at the page
		p.Run("Object.defineProperty(document, 'hidden', { value: false }); " + event)
		p.Want("got", `["m1"]`)
		p.Want("comets[0].state", `"open"`)
		p.Run("comets[0].stop()")
		s.Call("/close", "cname", "a")
		p.Close()
	}
}

// TestKeptPage: the browser keeps a page that has a WebSocket when its user goes elsewhere,
// because the connection is given up in time. When the user returns, it goes on.
func TestKeptPage(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	site := newSite(t, s.Front)
	site.mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><title>elsewhere</title>")
	})
	p := browser.Start(t).Open(t, site.URL)
	p.Run("window.kept = 0; addEventListener('pageshow', e => { kept += e.persisted }); null")
	connect(p, "a", "seq: 1, transports: ['ws']")
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
	p.Run("setTimeout(() => { location.href = '/elsewhere' }); null")
	p.Want("document.title", `"elsewhere"`)
	s.WaitSubscribers("a", 0)
	s.Push("a", "m2")
	p.Run("setTimeout(() => history.back()); null")
	p.Want("[kept, got]", `[1,["m1","m2"]]`)
	p.Want("comets[0].state", `"open"`)
	s.Push("a", "m3")
	p.Want("got", `["m1","m2","m3"]`)
	p.Want("events", "[]")
	p.WantNoMistakes()
}

// setOffline makes the browser report that there is no network, or that there is.
func setOffline(p *browser.Page, offline bool) {
	browser.Call(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
	})
}
