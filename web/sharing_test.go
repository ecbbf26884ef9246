package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"icomet/server/servertest"
	"icomet/web"
	"icomet/web/internal/browser"
)

// share starts a client that shares its connection.
func share(p *browser.Page, options string) {
	p.Run(fmt.Sprintf("connect({channel: 'a', %s}); null", options))
}

func wantAll(pages []*browser.Page, expression, want string) {
	for _, p := range pages {
		p.Want(expression, want)
	}
}

// TestTabsShare: the tabs of one origin share one connection, and each gets every
// message. When the tab with the connection closes, another one takes over without loss.
func TestTabsShare(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	pages := []*browser.Page{}
	pushAll(s, "a", numbered("m", 1, 3))
	for range 3 {
		p := b.Open(t, site.URL)
		pages = append(pages, p)
		share(p, "seq: 1")
		p.Want("got", js(numbered("m", 1, 3)))
		p.Want("comets[0].state", `"open"`)
		s.WaitSubscribers("a", 1)
		p.Want("comets[0].transport", `"ws"`)
	}
	pushAll(s, "a", numbered("m", 4, 6))
	wantAll(pages, "got", js(numbered("m", 1, 6)))
	s.WaitSubscribers("a", 1)

	// The first has the connection.
	pages[0].Close()
	pages = pages[1:]
	pushAll(s, "a", numbered("m", 7, 9))
	wantAll(pages, "got", js(numbered("m", 1, 9)))
	s.WaitSubscribers("a", 1)
	pages[0].Run("comets[0].stop()")
	pushAll(s, "a", numbered("m", 10, 12))
	pages[1].Want("got", js(numbered("m", 1, 12)))
	s.WaitSubscribers("a", 1)
	pages[0].Run("comets[0].start()")
	wantAll(pages, "got", js(numbered("m", 1, 12)))
	s.WaitSubscribers("a", 1)
	s.Call("/broadcast", "content", "m13")
	wantAll(pages, "got", js(numbered("m", 1, 13)))
	wantAll(pages, "events", "[]")

	s.Call("/close", "cname", "a")
	wantAll(pages, "events", `[{"type":"close"}]`)
	wantAll(pages, "comets[0].state", `"closed"`)
	for _, p := range pages {
		p.WantNoMistakes()
	}
}

// TestSharedTokenAndRestart: the followers need no token of their own, and are told of a
// restart.
func TestSharedTokenAndRestart(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	calls := site.signFor(s, 0)
	pages := []*browser.Page{b.Open(t, site.URL), b.Open(t, site.URL)}
	for _, p := range pages {
		share(p, "signUrl: '/sign'")
		p.Want("comets[0].state", `"open"`)
	}
	s.Push("a", "old")
	wantAll(pages, "got", `["old"]`)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d signs, want 1", n)
	}
	s.Kill()
	wantAll(pages, "comets[0].state === 'open'", "false")
	s.Restart()
	wantAll(pages, "comets[0].state", `"open"`)
	s.WaitSubscribers("a", 1)
	s.Push("a", "new")
	wantAll(pages, "got", `["old","new"]`)
	wantAll(pages, "events.filter(e => e.type === 'reset' || e.type === 'lost')", fmt.Sprintf(unknownFrom, 2))
}

// TestJoinWhileItFlows: a message arrives before a new follower knows the leader's
// position. The follower must still get the stored messages.
func TestJoinWhileItFlows(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	b := browser.Start(t)
	site := newSite(t, s.Front)
	site.signFor(s, 0)
	leader, newcomer := b.Open(t, site.URL), b.Open(t, site.URL)
	share(leader, "signUrl: '/sign', seq: 1")
	pushAll(s, "a", numbered("m", 1, 4))
	leader.Want("got", js(numbered("m", 1, 4)))
	newcomer.Run(`BroadcastChannel = class extends BroadcastChannel {
		constructor(name) {
			const first = super(name) && new (Object.getPrototypeOf(BroadcastChannel))(name);
			first.postMessage({epoch: '', msg: {type: 'data', cname: 'a', seq: 4, content: 'm4'}});
		}
	}; connect({channel: 'a', signUrl: '/sign', seq: 1}); null`)
	newcomer.Want("got", js(numbered("m", 1, 4)))
	s.Push("a", "m5")
	newcomer.Want("got", js(numbered("m", 1, 5)))
	newcomer.Want("events", "[]")
	newcomer.WantNoMistakes()
}

// TestFrozenLeader: a page that holds the lock and does nothing keeps nobody from
// connecting, and loses the lock to a visible page.
func TestFrozenLeader(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	share(p, "seq: 1")
	p.Want("comets[0].state", `"open"`)
	p.Run("(async () => window.lock = (await navigator.locks.query()).held[0].name)()")
	p.Run("comets[0].stop()")
	// The leader behaves like a frozen page: it holds the lock, and is silent.
	p.Run(`new Promise(held => navigator.locks.request(lock, () => {
		held();
		return new Promise(() => {});
	}).catch(() => { window.stolen = true; }))`)
	p.Run("comets[0].start()")
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
	p.Want("window.stolen", "true")
	s.Push("a", "m2")
	p.Want("got", `["m1","m2"]`)
	s.WaitSubscribers("a", 1)
	p.WantNoMistakes()
}

// TestStolenLock: who loses the lock to another becomes its follower.
func TestStolenLock(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	site := newSite(t, s.Front)
	pages := []*browser.Page{b.Open(t, site.URL), b.Open(t, site.URL)}
	for _, p := range pages {
		p.Run("window.follows = null")
		share(p, "seq: 1")
		p.Run("comets[0].on('state', e => { window.follows = e.follower }); null")
		p.Want("comets[0].state", `"open"`)
	}
	// The second waits for the lock, so it is next when the thief leaves.
	p := pages[1]
	p.Run("(async () => { const { held } = await navigator.locks.query(); await navigator.locks.request(held[0].name, { steal: true }, () => {}) })()")
	p.Want("[comets[0].state, follows]", `["open",false]`)
	pages[0].Want("[comets[0].state, follows]", `["open",true]`)
	s.Push("a", "m1")
	wantAll(pages, "got", `["m1"]`)
	s.WaitSubscribers("a", 1)
	for _, p := range pages {
		p.WantNoMistakes()
	}
}

// TestWhoShares: only clients that would get the same answers share.
func TestWhoShares(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	site := newSite(t, s.Front)
	site.mux.HandleFunc("/sign", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, s.Call("/sign", "cname", r.FormValue("cname")))
	})
	const ask = "async () => (await (await fetch('/sign?cname=x')).json()).token"
	for name, c := range map[string]struct {
		one, other string
		subs       int
	}{
		"same":                       {"", "", 1},
		"same signUrl":               {"signUrl: '/sign?x=1'", "signUrl: location.origin + '/sign?x=1'", 1},
		"same token":                 {"token: 'x'", "token: 'x'", 1},
		"same function":              {"token: " + ask, "token: " + ask, 1},
		"same group":                 {"share: 'ada'", "share: 'ada'", 1},
		"same group and function":    {"share: 'ada', token: " + ask, "share: 'ada', token: " + ask, 1},
		"other transports":           {"transports: ['sse']", "transports: ['stream']", 1},
		"other signUrl":              {"signUrl: '/sign?x=1'", "signUrl: '/sign?x=2'", 2},
		"signUrl and none":           {"signUrl: '/sign'", "", 2},
		"other token":                {"token: 'x'", "token: 'y'", 2},
		"token and none":             {"token: 'x'", "", 2},
		"other function":             {"token: () => 'x'", "token: () => 'y'", 2},
		"a function with two values": {"token: (t => () => t)('x')", "token: (t => () => t)('y')", 2},
		"function and signUrl":       {"token: () => 'x'", "signUrl: '/sign'", 2},
		"other group":                {"share: 'ada'", "share: 'bob'", 2},
		"group and none":             {"share: 'ada'", "", 2},
		"other credentials":          {"credentials: 'omit'", "", 2},
	} {
		b := browser.Start(t)
		one, other := b.Open(t, site.URL), b.Open(t, site.URL)
		options := fmt.Sprintf("channel: %s, seq: 1, ", js(name))
		s.Push(name, "m1")
		for p, more := range map[*browser.Page]string{one: c.one, other: c.other} {
			p.Run("connect({" + options + more + "}); null")
			p.Want("[comets[0].state, got, "+js(name)+"].slice(0, 2)", `["open",["m1"]]`)
		}
		s.WaitSubscribers(name, c.subs)
		s.Push(name, "m2")
		wantAll([]*browser.Page{one, other}, "got", `["m1","m2"]`)
		one.Close()
		s.Push(name, "m3")
		other.Want("got", `["m1","m2","m3"]`)
		other.Close()
	}
}

// TestTenants: two tenants behind one address, told apart by its query, see nothing of
// each other.
func TestTenants(t *testing.T) {
	site := newSite(t, "")
	servers := map[string]*servertest.Server{"a": servertest.Start(t), "b": servertest.Start(t)}
	site.mux.Handle("/comet/", http.StripPrefix("/comet", &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		front, _ := url.Parse(servers[r.In.FormValue("tenant")].Front)
		r.SetURL(front)
	}}))
	site.mux.HandleFunc("/icomet.js", func(w http.ResponseWriter, _ *http.Request) { w.Write(web.Script) })
	b := browser.Start(t)
	pages := map[string]*browser.Page{}
	for name, s := range servers {
		pages[name] = b.Open(t, site.URL)
		share(pages[name], "seq: 1, subUrl: '/comet?tenant="+name+"'")
		s.WaitSubscribers("a", 1)
	}
	for name, s := range servers {
		s.Push("a", "for "+name)
	}
	for name, p := range pages {
		p.Want("got", `["for `+name+`"]`)
		p.Want("events", "[]")
	}
}

// TestSetTokenLeaves: a tab that is given another token goes on without those that have
// the former.
func TestSetTokenLeaves(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	var v struct{ Token string }
	if err := json.Unmarshal([]byte(s.Call("/sign", "cname", "a")), &v); err != nil {
		t.Fatal(err)
	}
	b := browser.Start(t)
	site := newSite(t, s.Front)
	ada, bob := b.Open(t, site.URL), b.Open(t, site.URL)
	for _, p := range []*browser.Page{ada, bob} {
		share(p, "")
		p.Want("comets[0].state", `"unauthorized"`)
	}
	ada.Run("comets[0].setToken(" + js(v.Token) + ")")
	ada.Want("comets[0].state", `"open"`)
	s.WaitSubscribers("a", 1)
	bob.Want("events.length", "1") // it leads now, and was refused itself
	bob.Run("comets[0].setToken('wrong')")
	bob.Want("events.length", "2")
	bob.Want("comets[0].state", `"unauthorized"`)
	s.Push("a", "m1")
	ada.Want("got", `["m1"]`)
	bob.Want("got", `[]`)
	bob.Run("comets[0].setToken(" + js(v.Token) + ")")
	bob.Want("comets[0].state", `"open"`)
	s.WaitSubscribers("a", 1) // they share again
	s.Push("a", "m2")
	ada.Want("got", `["m1","m2"]`)
	bob.Want("got.at(-1)", `"m2"`)
}

// TestTabsSharePositions: what the server tells the tab with the connection, each tab
// hears once, measured by what the tab itself has had.
func TestTabsSharePositions(t *testing.T) {
	s := newScripted(t)
	b := browser.Start(t)
	site := newSite(t, s.URL)
	open := func(options string) *browser.Page {
		p := b.Open(t, site.URL)
		share(p, "recovered: true, "+options)
		return p
	}
	s.answer(map[string][]string{"-1": {position("aaaaaaaa", 1, ""), data(1), data(2)}})
	pages := []*browser.Page{}
	for range 3 {
		pages = append(pages, open("seq: 1"))
		wantAll(pages, "[got, comets[0].position]", `[["1","2"],"aaaaaaaa-2"]`)
	}
	s.answer(map[string][]string{"aaaaaaaa-3": {position("aaaaaaaa", 3, ""), data(3)}})
	wantAll(pages, "got.at(-1)", `"3"`)
	for _, p := range pages {
		wantEvents(p, `[{"type":"recovered","position":"aaaaaaaa-2"}]`)
	}
	s.answer(map[string][]string{"aaaaaaaa-4": {position("aaaaaaaa", 6, "trimmed"), data(6)}})
	wantAll(pages, "got.at(-1)", `"6"`)
	for _, p := range pages {
		wantEvents(p, `[{"type":"gap","lost":{"from":4,"to":5}},{"type":"lost","lost":{"from":4,"to":5},"reason":"trimmed"}]`)
	}
	life := map[string][]string{
		"aaaaaaaa-7": {position("bbbbbbbb", 7, "epoch"), data(7), data(8)},
		"aaaaaaaa-3": {position("bbbbbbbb", 7, "epoch"), data(7), data(8)}, // for who comes later
		"bbbbbbbb-8": {data(8)},
		"bbbbbbbb-9": {position("bbbbbbbb", 9, ""), data(9)},
	}
	s.answer(life)
	wantAll(pages, "[got.slice(-2), comets[0].position]", `[["7","8"],"bbbbbbbb-8"]`)
	for _, p := range pages {
		wantEvents(p, fmt.Sprintf(unknownFrom, 7))
	}

	// Tabs that come with a position of their own.
	recovered, late := open("from: 'bbbbbbbb-7'"), open("from: 'aaaaaaaa-2'")
	recovered.Want("got", `["8"]`)
	wantEvents(recovered, `[{"type":"recovered","position":"bbbbbbbb-7"}]`)
	late.Want("got", `["7","8"]`)
	wantEvents(late, fmt.Sprintf(unknownFrom, 3))
	pages = append(pages, recovered, late)

	// Another tab takes over, where it stands itself.
	pages[0].Close()
	pages = pages[1:]
	wantAll(pages, "[got.at(-1), comets[0].position]", `["9","bbbbbbbb-9"]`)
	for _, p := range pages {
		wantEvents(p, `[{"type":"recovered","position":"bbbbbbbb-8"}]`)
	}
	s.answer(map[string][]string{"bbbbbbbb-10": {position("bbbbbbbb", 10, ""), data(10), `{"type":"end","cname":"a","seq":11,"content":""}`}})
	wantAll(pages, "[got.at(-1), comets[0].state]", `["10","ended"]`)
	for _, p := range pages {
		// One of them may have had the connection for a moment, and have recovered twice.
		p.Want("events.filter(e => e.type !== 'recovered')", `[{"type":"end"}]`)
		if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
			t.Errorf("errors in the page: %q", m)
		}
	}
}
