package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// counted is a proxy that counts the requests for each path, and can be cut.
type counted struct {
	*servertest.Proxy
	mu   sync.Mutex
	seen map[string]int
}

func newCounted(t *testing.T, front string) *counted {
	t.Helper()
	target, err := url.Parse(front)
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{seen: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.seen[r.URL.Path]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	// A browser repeats by itself what it has asked on a connection that was kept.
	server.Config.SetKeepAlivesEnabled(false)
	t.Cleanup(server.Close)
	c.Proxy = servertest.NewProxy(t, server.URL)
	return c
}

// requests returns how many there were for a path.
func (c *counted) requests(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[path]
}

// several makes clients of several channels, each of which has its contents in per, and
// its events in told as "TYPE CHANNEL".
const several = `
window.per = {}, window.told = [];
function several(options) {
	const comet = connect({ seq: 1, share: false, callback: (content, name) => (per[name] ||= []).push(content), ...options });
	for (const type of ['recovered', 'lost', 'gap', 'reset', 'close', 'end', 'error']) {
		comet.on(type, e => (type !== 'error' || e.code) && told.push((e.code || type) + ' ' + e.channel));
	}
	return comet;
} null`

// openSeveral opens a page with a client of several channels.
func openSeveral(t *testing.T, b *browser.Browser, site *site, options string) *browser.Page {
	t.Helper()
	p := b.Open(t, site.URL)
	p.Run(several)
	p.Run("several({" + options + "}); null")
	return p
}

// wantPer waits until these were the contents of a channel.
func wantPer(p *browser.Page, channel string, want []string) {
	p.Want(fmt.Sprintf("per[%s] || []", js(channel)), js(want))
}

// TestSeveralChannels: the channels of one client have one connection, and each its own
// position, before and after it breaks.
func TestSeveralChannels(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	paths := map[string]string{"ws": "/ws", "sse": "/sse", "stream": "/stream"} // of what is one request
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			proxy := newCounted(t, s.Front)
			channel := func(c string) string { return name + " " + c }
			all, from, now := channel("all"), channel("from"), channel("now")
			pushAll(s, all, numbered("a", 1, 3))
			pushAll(s, from, numbered("f", 1, 3))
			s.Push(now, "n1")
			// Where the second one begins.
			p := openSeveral(t, b, site, fmt.Sprintf("channels: [%s]", js(from)))
			defer p.Close()
			wantPer(p, from, numbered("f", 1, 3))
			p.Run("window.saved = comets[0].position.replace(/3$/, '2'); comets[0].stop(); per = {}; null")
			p.Run(fmt.Sprintf(`several({ subUrl: %q, transports: [%q], channels: [%s, { channel: %s, from: saved }, {
				channel: %s, seq: 0, callback: c => (per.own ||= []).push(c),
			}] }); null`, proxy.URL, name, js(all), js(from), js(now)))
			for _, c := range []string{all, from, now} {
				s.WaitSubscribers(c, 1)
				s.Push(c, "live")
			}
			wantPer(p, all, append(numbered("a", 1, 3), "live"))
			wantPer(p, from, []string{"f3", "live"})
			wantPer(p, "own", []string{"live"})
			wantPer(p, now, []string{})
			p.Want("told", js([]string{"recovered " + from}))
			p.Want("comets[1].channels.map(c => comets[1].channel(c).seq)", "[5,5,3]")
			p.Want("[comets[1].state, comets[1].transport]", js([]string{"open", name}))
			if path, ok := paths[name]; ok && proxy.requests(path) != 1 {
				t.Errorf("%d requests of %s, want 1", proxy.requests(path), path)
			}

			p.Run("told.length = 0; null")
			proxy.Cut()
			p.Want("told.sort()", js([]string{"recovered " + all, "recovered " + from, "recovered " + now}))
			for _, c := range []string{all, from, now} {
				s.Push(c, "again")
			}
			wantPer(p, all, append(numbered("a", 1, 3), "live", "again"))
			wantPer(p, from, []string{"f3", "live", "again"})
			wantPer(p, "own", []string{"live", "again"})
			p.Run("comets[1].stop()")
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
		})
	}
}

// TestAddAndRemove: channels come and go while another one's messages flow. It loses
// none, and gets none twice; a WebSocket stays the same.
func TestAddAndRemove(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=1000", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			proxy := newCounted(t, s.Front)
			flow, other, third := name+" flow", name+" other", name+" third"
			p := openSeveral(t, b, site, fmt.Sprintf("subUrl: %q, transports: [%q], channels: [%s]", proxy.URL, name, js(flow)))
			defer p.Close()
			s.WaitSubscribers(flow, 1)
			pushAll(s, other, numbered("o", 1, 3))
			n := 0
			step := func(script string, subscribers map[string]int) {
				t.Helper()
				for range 3 {
					n++
					s.Push(flow, fmt.Sprint("m", n))
				}
				p.Run(script + "; null")
				for range 3 {
					n++
					s.Push(flow, fmt.Sprint("m", n))
				}
				for c, k := range subscribers {
					s.WaitSubscribers(c, k)
				}
				wantPer(p, flow, numbered("m", 1, n))
			}
			step(fmt.Sprintf("window.added = comets[0].add(%s); added.on('message', e => (window.heard ||= []).push(e.content))", js(other)), map[string]int{other: 1})
			wantPer(p, other, numbered("o", 1, 3))
			p.Want("heard", js(numbered("o", 1, 3)))
			p.Want("[added.state, added.seq, comets[0].channel("+js(other)+") === added]", `["open",4,true]`)
			step(fmt.Sprintf("window.removed = comets[0].remove(%s)", js(other)), map[string]int{flow: 1})
			p.Want("[removed, added.state, comets[0].channels, comets[0].remove('unknown')]", js([]any{true, "stopped", []string{flow}, false}))
			if name != "poll" && name != "jsonp" { // a poll is not disturbed, and its next one is without it
				s.WaitSubscribers(other, 0)
			}
			s.Push(other, "o4")
			// It comes back, and goes and comes at once: what counts is where it begins last.
			step(fmt.Sprintf("for (const seq of [2, 3, 1]) { comets[0].remove(%[1]s); comets[0].add(%[1]s, { seq }) } per[%[1]s] = []", js(other)), nil)
			wantPer(p, other, numbered("o", 1, 4))
			step(fmt.Sprintf("comets[0].add(%[1]s); comets[0].remove(%[1]s); comets[0].add(%[1]s)", js(third)), map[string]int{third: 1})
			s.Push(third, "t1")
			s.Push(other, "o5")
			wantPer(p, third, []string{"t1"})
			wantPer(p, other, numbered("o", 1, 5))
			p.Want("[comets[0].state, comets[0].transport]", js([]string{"open", name}))
			if name == "ws" && proxy.requests("/ws") != 1 {
				t.Errorf("%d WebSockets, want 1", proxy.requests("/ws"))
			}
			p.Want("told.filter(t => !t.startsWith('lost'))", "[]")
			p.Want("events.filter(e => e.reason !== 'epoch')", "[]") // from a number in the middle
			p.Run("comets[0].stop()")
			p.WantNoMistakes()
		})
	}
}

// TestAddNames: a name that is there or cannot be one is refused, and nothing changes.
func TestAddNames(t *testing.T) {
	s := servertest.Start(t)
	p := openSeveral(t, browser.Start(t), newSite(t, s.Front), "channels: []")
	p.Want("[comets[0].state, comets[0].position, comets[0].channels]", `["stopped","",[]]`)
	p.Run("comets[0].add('a'); null")
	for _, name := range []string{"'a'", "''", "'ü'.repeat(128)", "undefined"} {
		p.Run("window.mistake = ''; try { comets[0].add(" + name + ") } catch (e) { mistake = e.name }")
		p.Want("[mistake, "+js(name)+"][0]", `"TypeError"`)
		p.Run("window.mistake = ''; try { several({ channels: ['b', 'a', " + name + "] }) } catch (e) { mistake = e.name }")
		p.Want("[mistake, "+js(name)+"][0]", `"TypeError"`)
	}
	s.Push("a", "m1")
	wantPer(p, "a", []string{"m1"})
	p.Want("comets[0].channels", `["a"]`)
	s.WaitSubscribers("b", 0)
	p.WantNoMistakes()
}
