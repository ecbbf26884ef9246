package web_test

import (
	"fmt"
	"testing"

	"icomet/server/servertest"
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
		p.Want("comets[0].transport", `"sse"`)
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
	wantAll(pages, "events.filter(e => e.type === 'reset')", `[{"type":"reset","seq":2}]`)
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
			first.postMessage({msg: {type: 'data', cname: 'a', seq: 4, content: 'm4'}});
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
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	p.Run(`{
		const request = navigator.locks.request;
		navigator.locks.request = function(name, ...rest) {
			window.lock = name;
			return request.call(this, name, ...rest);
		};
	} null`)
	share(p, "seq: 1")
	p.Want("comets[0].state", `"open"`)
	p.Run("comets[0].stop()")
	// The leader behaves like a frozen page: it holds the lock, and is silent.
	p.Run(`new Promise(held => navigator.locks.request(lock, () => {
		held();
		return new Promise(() => {});
	}).catch(() => { window.stolen = true; }))`)
	p.Run("window.began = performance.now(); comets[0].start()")
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
	p.Want("window.stolen", "true")
	s.Push("a", "m2")
	p.Want("got", `["m1","m2"]`)
	s.WaitSubscribers("a", 1)
	p.WantNoMistakes()
}
