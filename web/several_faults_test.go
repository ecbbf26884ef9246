package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// TestSeveralRestarts: the server is stopped and started again with its snapshot, and
// killed. Each channel is told which of the two it was, and gets all messages once.
func TestSeveralRestarts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_ENGINE_SNAPSHOT="+t.TempDir()+"/channels", "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	pages := map[string]*browser.Page{}
	want := map[string][]string{}
	channels := func(name string) []string { return []string{name + " 1", name + " 2", name + " 3"} }
	publish := func(text string) {
		for _, name := range transports {
			for _, c := range channels(name) {
				contents := numbered(text+" "+c+" ", 1, 4)
				pushAll(s, c, contents)
				want[c] = append(want[c], contents...)
			}
		}
	}
	check := func() {
		t.Helper()
		for name, p := range pages {
			for _, c := range channels(name) {
				wantPer(p, c, want[c])
			}
		}
	}
	for _, name := range transports {
		pages[name] = openSeveral(t, b, site, fmt.Sprintf("transports: [%q], channels: %s, retryMin: 300, retryMax: 1000", name, js(channels(name))))
	}
	publish("before")
	check()
	s.Stop()
	s.Restart()
	publish("restarted")
	check()
	for name, p := range pages {
		for _, c := range channels(name) {
			p.Want("told.includes("+js("recovered "+c)+")", "true")
		}
		p.Want("told.filter(t => !t.startsWith('recovered'))", "[]")
		p.Run("told.length = 0; null")
	}
	s.Kill()
	s.Restart()
	publish("killed")
	check()
	for name, p := range pages {
		lost := []string{}
		for _, c := range channels(name) {
			lost = append(lost, "lost "+c)
		}
		p.Want("told.filter(t => t.startsWith('lost')).sort()", js(lost))
		if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
			t.Errorf("errors in the page: %q", m)
		}
	}
}

// TestOneOfSeveral: a channel that is refused, closed or ended costs only itself. The
// connection stays.
func TestOneOfSeveral(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	site.signFor(s, 0)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			proxy := newCounted(t, s.Front)
			token := func(c string) string {
				var v struct{ Token string }
				if err := json.Unmarshal([]byte(s.Call("/sign", "cname", c)), &v); err != nil {
					t.Fatal(err)
				}
				return v.Token
			}
			stays, closed, ended, refused := name+" stays", name+" closed", name+" ended", name+" refused"
			list := []map[string]string{}
			for _, c := range []string{stays, closed, ended} {
				list = append(list, map[string]string{"channel": c, "token": token(c)})
			}
			list = append(list, map[string]string{"channel": refused, "token": "wrong"})
			p := openSeveral(t, b, site, fmt.Sprintf("subUrl: %q, transports: [%q], channels: %s", proxy.URL, name, js(list)))
			defer p.Close()
			state := func(c string) string { return fmt.Sprintf("comets[0].channel(%s).state", js(c)) }
			n := 0
			flows := func() {
				t.Helper()
				n++
				s.Push(stays, fmt.Sprint("m", n))
				wantPer(p, stays, numbered("m", 1, n))
				p.Want("["+state(stays)+", comets[0].state]", `["open","open"]`)
			}
			p.Want(state(refused), `"unauthorized"`)
			flows()
			s.Call("/close", "cname", closed)
			p.Want(state(closed), `"closed"`)
			flows()
			s.Push(ended, "last")
			s.Call("/end", "cname", ended)
			p.Want(state(ended), `"ended"`)
			wantPer(p, ended, []string{"last"})
			flows()
			p.Want("told", js([]string{"401 " + refused, "close " + closed, "end " + ended}))
			p.Run(fmt.Sprintf("comets[0].channel(%s).setToken(%s)", js(refused), js(token(refused))))
			s.Push(refused, "admitted")
			wantPer(p, refused, []string{"admitted"})
			flows()
			if k := proxy.requests("/ws"); name == "ws" && k != 1 {
				t.Errorf("%d WebSockets, want 1", k)
			}
			s.Call("/close", "cname", stays)
			s.Call("/close", "cname", refused)
			p.Want("comets[0].state", `"closed"`)
			p.WantNoMistakes()
		})
	}
}

// TestNoWebSocket: where a WebSocket cannot be had, in whatever way, the messages come by
// server-sent events.
func TestNoWebSocket(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_ALLOW_ORIGINS=https://example.com")
	target, err := url.Parse(s.Front)
	if err != nil {
		t.Fatal(err)
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	passes := httputil.NewSingleHostReverseProxy(target)
	passes.FlushInterval = -1
	b := browser.Start(t)
	for name, ws := range map[string]http.HandlerFunc{
		"403": status(403), "404": status(404), "426": status(426), "503": status(503),
		"hangs": buffer,
		"plain": func(w http.ResponseWriter, r *http.Request) { // a proxy that does not know what Upgrade is
			r.Header.Del("Connection")
			r.Header.Del("Upgrade")
			passes.ServeHTTP(w, r)
		},
		"of another site": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Origin", "https://elsewhere.example")
			passes.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			site := newSite(t, s.Front)
			mux := http.NewServeMux()
			mux.HandleFunc("/ws", ws)
			mux.Handle("/", passes)
			site.mux.Handle("/comet/", http.StripPrefix("/comet", mux))
			p := openSeveral(t, b, site, fmt.Sprintf("subUrl: '/comet', channels: %s", js([]string{name + " 1", name + " 2"})))
			defer p.Close()
			for _, c := range []string{name + " 1", name + " 2"} {
				s.Push(c, "m1")
				wantPer(p, c, []string{"m1"})
			}
			p.Want("[comets[0].state, comets[0].transport]", `["open","sse"]`)
			// Who comes later does not try again.
			p.Run("several({ subUrl: '/comet', channels: ['later'] }); null")
			p.Want("comets[1].state", `"open"`)
			p.Want("states.filter(s => s.endsWith(' ws')).length > 0 && states.slice(-2)", `["connecting sse","open sse"]`)
			p.Run("comets.forEach(c => c.stop())")
			if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
				t.Errorf("errors in the page: %q", m)
			}
		})
	}
}
