package web_test

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

var transports = []string{"ws", "sse", "stream", "poll", "jsonp"}

// awkward contents must arrive unchanged with every framing.
var awkward = []string{
	"", "plain", `"quotes" and \ backslash`, "line\nbreak\r\n\ttab", "</script><script>got.push('executed')</script>",
	"\u2028\u2029", "üñï😀漢字", `{"json": [1, 2]}`, "data: x\n\nevent: y", ");alert(1)//",
}

func TestEachTransport(t *testing.T) {
	const buffer = "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100"
	for over, s := range map[string]*servertest.Server{"": servertest.Start(t, buffer), " TLS": servertest.StartTLS(t, buffer)} {
		testEachTransport(t, over, s)
	}
}

func testEachTransport(t *testing.T, over string, s *servertest.Server) {
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name+over, func(t *testing.T) {
			p := b.Open(t, site.URL)
			defer p.Close()
			stored := numbered("stored ", 1, 3)
			pushAll(s, name, stored)
			connect(p, name, fmt.Sprintf("seq: 1, transports: [%q]", name))
			p.Want("got", js(stored))
			s.WaitSubscribers(name, 1)
			pushAll(s, name, awkward)
			s.Call("/broadcast", "content", "to all")
			pushAll(s, name, []string{"last"})
			want := append(append(append([]string{}, stored...), awkward...), "to all", "last")
			p.Want("got", js(want))
			p.Want("seqs", js(upTo(len(want))))
			p.Want("[comets[0].state, comets[0].transport, comets[0].seq]", fmt.Sprintf(`["open",%q,%d]`, name, len(want)+1))
			p.Want("states", fmt.Sprintf(`["connecting %s","open %s"]`, name, name))
			p.Run("comets[0].stop()")
			if name != "jsonp" { // a script that is loading cannot be stopped
				s.WaitSubscribers(name, 0)
			}
			p.Want("events", "[]")
			p.WantNoMistakes()
		})
	}
}

func upTo(n int) (list []int) {
	for i := 1; i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// TestFromNow: without seq, only later messages arrive.
func TestFromNow(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	p := b.Open(t, newSite(t, s.Front).URL)
	for _, name := range transports {
		s.Push(name, "before")
		connect(p, name, fmt.Sprintf("transports: [%q]", name))
		s.WaitSubscribers(name, 1)
		s.Push(name, "after "+name)
	}
	p.Want("got.sort()", `["after jsonp","after poll","after sse","after stream","after ws"]`)
	p.WantNoMistakes()
}

// TestOpenIsFromNow: a poll without seq is open only when the server has told it the next
// number, although /ping is answered earlier. Messages published after that arrive.
func TestOpenIsFromNow(t *testing.T) {
	s := servertest.Start(t)
	target, err := url.Parse(s.Front)
	if err != nil {
		t.Fatal(err)
	}
	b := browser.Start(t)
	for _, name := range []string{"poll", "jsonp"} {
		pinged, release := make(chan struct{}, 10), make(chan struct{})
		proxy := httputil.NewSingleHostReverseProxy(target)
		site := newSite(t, s.Front)
		site.mux.Handle("/comet/", http.StripPrefix("/comet", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ping" {
				select {
				case <-release:
				case <-r.Context().Done(): // the page has gone
				}
			}
			proxy.ServeHTTP(w, r)
			if r.URL.Path == "/ping" {
				pinged <- struct{}{}
			}
		})))
		p := b.Open(t, site.URL)
		connect(p, name, fmt.Sprintf("transports: [%q], subUrl: '/comet'", name))
		<-pinged
		p.Run("fetch('/comet/ping').then(r => r.text())") // queued behind the answer to the first
		p.Want("comets[0].state", `"connecting"`)
		close(release)
		p.Want("comets[0].state", `"open"`)
		s.Push(name, "m1")
		p.Want("got", `["m1"]`)
		p.Close()
	}
}

// TestNextTransport: a transport that something on the way breaks is replaced by the next
// one, without loss.
func TestNextTransport(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	for _, c := range []struct {
		name    string
		spoiled map[string]func(http.ResponseWriter, *http.Request)
		want    string
	}{
		{"refused", map[string]func(http.ResponseWriter, *http.Request){"/ws": refuse, "/sse": refuse}, "stream"},
		{"refused twice", map[string]func(http.ResponseWriter, *http.Request){"/ws": refuse, "/sse": refuse, "/stream": refuse}, "poll"},
		{"no answer to the end", map[string]func(http.ResponseWriter, *http.Request){"/ws": buffer, "/sse": buffer, "/stream": buffer}, "poll"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target, err := url.Parse(s.Front)
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			for path, f := range c.spoiled {
				mux.HandleFunc(path, f)
			}
			proxy := httputil.NewSingleHostReverseProxy(target)
			proxy.FlushInterval = -1
			mux.Handle("/", proxy)
			site := newSite(t, s.Front)
			site.mux.Handle("/comet/", http.StripPrefix("/comet", mux))
			p := b.Open(t, site.URL)
			defer p.Close()
			channel := "spoiled " + c.name
			stored := numbered("m", 1, 5)
			pushAll(s, channel, stored)
			// As a page of the original does: the URL of one transport.
			connect(p, channel, "seq: 1, subUrl: '/comet/poll'")
			p.Want("got", js(stored))
			p.Want("comets[0].transport", js(c.want))
			s.Push(channel, "m6")
			p.Want("got", js(numbered("m", 1, 6)))
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
			p.Run("comets[0].stop()")
		})
	}
}

func refuse(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }

// buffer is a proxy that passes nothing on until the answer is complete.
func buffer(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// TestForbiddenOrigin: a page that may not read the answers can still use the script tag.
func TestForbiddenOrigin(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_ALLOW_ORIGINS=https://example.com")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	s.Push("a", "m1")
	connect(p, "a", "seq: 1")
	p.Want("got", `["m1"]`)
	p.Want("comets[0].transport", `"jsonp"`)
	s.Push("a", "m2")
	p.Want("got", `["m1","m2"]`)
}

// TestModule: the same as an ES module, from another origin.
func TestModule(t *testing.T) {
	s := servertest.Start(t)
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	s.Push("a", "m1")
	p.Run(fmt.Sprintf(`import('%s/icomet.mjs').then(m => {
		if (m.default !== m.iComet) throw new Error('two classes');
		new m.iComet({channel: 'a', seq: 1, subUrl: '%s/', callback: c => got.push(c)});
	})`, s.Front, s.Front))
	p.Want("got", `["m1"]`)
	p.WantNoMistakes()
}

// TestManyChannels: one page has several clients, each with its own channel.
func TestManyChannels(t *testing.T) {
	s := servertest.Start(t)
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	const n = 4 // below the browser's limit of connections to one host
	for i := range n {
		connect(p, fmt.Sprint("c", i), "seq: 1")
		s.WaitSubscribers(fmt.Sprint("c", i), 1)
	}
	want := []string{}
	for i := range n {
		content := fmt.Sprint("to ", i)
		s.Push(fmt.Sprint("c", i), content)
		want = append(want, content)
	}
	p.Want("got.sort()", js(want))
	p.WantNoMistakes()
}
