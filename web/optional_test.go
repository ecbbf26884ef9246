package web_test

import (
	"fmt"
	"net/http"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// refusals are ways in which a browser, a setting or an extension can keep a page from
// what only saves connections or measures better.
var refusals = map[string]string{
	"locks reject":                "navigator.locks.request = async () => { throw refused() }",
	"locks reject later":          "navigator.locks.request = () => new Promise((_, no) => setTimeout(() => no(refused()), 500))",
	"locks throw":                 "navigator.locks.request = () => { throw refused() }",
	"locks cannot be read":        "Object.defineProperty(navigator, 'locks', { get() { throw refused() } })",
	"locks are not there":         "Object.defineProperty(navigator, 'locks', { value: undefined })",
	"locks return nothing":        "navigator.locks.request = () => {}",
	"locks never answer":          "navigator.locks.request = () => new Promise(() => {})",
	"locks end without a call":    "navigator.locks.request = async () => {}",
	"locks are lost at once":      "navigator.locks.request = async (name, options, f) => { f({}); throw new DOMException('', 'AbortError') }",
	"locks are lost again":        "navigator.locks.request = (name, options, f) => new Promise((_, no) => { f({}); setTimeout(() => no(new DOMException('', 'AbortError')), 50) })",
	"locks reject when held":      "navigator.locks.request = (name, options, f) => new Promise((_, no) => { f({}); setTimeout(() => no(refused()), 200) })",
	"the channel throws":          "BroadcastChannel = class { constructor() { throw refused() } }",
	"the channel cannot be read":  "Object.defineProperty(globalThis, 'BroadcastChannel', { get() { throw refused() } })",
	"the channel does not send":   "BroadcastChannel.prototype.postMessage = () => { throw refused() }",
	"the channel and locks throw": "BroadcastChannel.prototype.postMessage = BroadcastChannel.prototype.close = navigator.locks.request = () => { throw refused() }",
	"the clock cannot be read":    "Object.defineProperty(globalThis, 'performance', { get() { throw refused() } })",
	"the clock throws":            "performance.now = () => { throw refused() }",
}

const countLocks = `
const refused = () => new DOMException('access is denied for this document', 'SecurityError');
window.asked = 0;
%s;
try {
	const request = navigator.locks.request;
	navigator.locks.request = function(...args) {
		asked++;
		return request.apply(this, args);
	};
} catch {}`

// TestOptionalParts: an optimisation that is refused, in whatever way, does not keep the
// client from connecting, soon and alone, without an error in the page, and it is not
// asked for again and again.
func TestOptionalParts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	site := newSite(t, s.Front)
	pages := map[string]*browser.Page{}
	for name, script := range refusals {
		// A browser has six connections to a host.
		p := browser.Start(t).Open(t, site.URL, browser.Before(fmt.Sprintf(countLocks, script)))
		pages[name] = p
		s.Push(name, "m1")
		p.Run(fmt.Sprintf("window.began = Date.now(); connect({channel: %s, seq: 1}).on('message', () => window.took ??= Date.now() - began); null", js(name)))
	}
	for name, p := range pages {
		p.Want("[took, "+js(name)+"] && got", `["m1"]`) // with the name, for the text of a failure
		p.Want("comets[0].state", `"open"`)
		p.Want("took < 10000", "true") // at most 2 s of it are a wait
		s.WaitSubscribers(name, 1)
		p.Run("new Promise(r => setTimeout(r, began + 5000 - Date.now()))") // the time itself is tested
		p.Want("asked <= 5 || asked", "true")
		s.Push(name, "m2")
		p.Want("got", `["m1","m2"]`)
		p.Want("events", "[]")
		p.Run("comets[0].stop(); comets[0].start()")
		s.Push(name, "m3")
		p.Want("got", `["m1","m2","m3"]`)
		p.WantNoMistakes()
		p.Close()
	}
}

// TestSandbox: a page without an origin has neither locks nor cookies.
func TestSandbox(t *testing.T) {
	s := servertest.Start(t)
	site := newSite(t, s.Front)
	site.mux.HandleFunc("/frame", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!DOCTYPE html><title>frame</title><script>
			const heard = [];
			onmessage = e => heard.push(e.data);
		</script><iframe sandbox="allow-scripts" src="/inside"></iframe>`)
	})
	site.mux.HandleFunc("/inside", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><script src="%[1]s/icomet.js"></script><script>
			onunhandledrejection = onerror = e => parent.postMessage('error ' + (e.reason || e), '*');
			const comet = new iComet({ channel: 'a', subUrl: '%[1]s', seq: 1, callback: c => parent.postMessage(c, '*') });
			comet.on('state', e => e.state === 'open' && parent.postMessage('open', '*'));
		</script>`, s.Front)
	})
	s.Push("a", "m1")
	p := browser.Start(t).Open(t, site.URL+"/frame")
	p.Want("heard.includes('open') && heard.filter(h => h !== 'open')", `["m1"]`)
	s.WaitSubscribers("a", 1)
	s.Push("a", "m2")
	p.Want("heard.filter(h => h !== 'open')", `["m1","m2"]`)
	p.WantNoMistakes()
}
