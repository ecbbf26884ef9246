package web_test

import (
	"fmt"
	"net/http"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// openNative opens a page without a script of ours: it has an EventSource, and log, where
// messages are "LIFE NUMBER" and the event lost is "lost N".
func openNative(t *testing.T, front, query string) *browser.Page {
	t.Helper()
	page := newPlainServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><title>native</title><link rel="icon" href="data:,"><script>
const log = [];
let heard = 0;
const source = new EventSource('%s/sse?%s');
source.onmessage = e => {
	heard++;
	const message = JSON.parse(e.data);
	if (message.type === 'data') log.push(message.content);
};
source.addEventListener('lost', e => log.push('lost ' + JSON.parse(e.data).lost + ' ' + JSON.parse(e.data).reason));
</script>`, front, query)
	}))
	return browser.Start(t).Open(t, page)
}

// TestNativeRestart: the browser's own EventSource, through a kill -9 and a new process on
// the same port. It is told that it may have missed something, also when the new numbers
// have passed the old; and it gets all that the new process has.
func TestNativeRestart(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	p := openNative(t, s.Front, "cname=a&seq=1")
	s.WaitSubscribers("a", 1)
	log := []string{}
	for life, n := range []int{3, 5, 5, 2, 8} { // more, as many, and fewer than before
		name := fmt.Sprint(life, " ")
		if life > 0 {
			s.Kill()
			s.Restart()
			log = append(log, "lost -1 epoch")
		}
		pushAll(s, "a", numbered(name, 1, n-1)) // before it is back, from the second life on
		log = append(log, numbered(name, 1, n)...)
		s.WaitSubscribers("a", 1)
		pushAll(s, "a", numbered(name, n, n))
		p.Want("log", js(log))
	}
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestNativeBeforeTheFirstMessage: an EventSource that has had no message yet has a
// position too, in plain and over TLS.
func TestNativeBeforeTheFirstMessage(t *testing.T) {
	t.Parallel()
	for _, s := range []*servertest.Server{servertest.Start(t), servertest.StartTLS(t)} {
		testBeforeTheFirstMessage(t, s)
	}
}

func testBeforeTheFirstMessage(t *testing.T, s *servertest.Server) {
	t.Helper()
	s.Push("a", "before")
	p := openNative(t, s.Front, "cname=a")
	s.WaitSubscribers("a", 1)
	p.Want("heard", "1") // next_seq
	s.Kill()
	s.Restart()
	pushAll(s, "a", numbered("new ", 1, 3))
	p.Want("log", `["lost -1 epoch","new 1","new 2","new 3"]`)
}

// TestNativeResume: breaks of which the server is the same. What it still has comes
// without a word; what it has no more is counted.
func TestNativeResume(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	proxy := servertest.NewProxy(t, s.Front)
	p := openNative(t, proxy.URL, "cname=a&seq=1")
	s.WaitSubscribers("a", 1)
	s.Push("a", "1")
	p.Want("log", `["1"]`)
	proxy.Cut()
	pushAll(s, "a", numbered("", 2, 5))
	p.Want("log", js(numbered("", 1, 5)))
	s.WaitSubscribers("a", 1)
	proxy.Freeze(true) // it cannot come back meanwhile
	proxy.Cut()
	s.WaitSubscribers("a", 0)
	pushAll(s, "a", numbered("", 6, 30)) // ten are kept
	proxy.Freeze(false)
	proxy.Cut()
	p.Want("log", js(append(append(numbered("", 1, 5), "lost 15 trimmed"), numbered("", 21, 30)...)))
	// After the end it does not come back.
	s.Call("/end", "cname", "a", "content", "31")
	p.Want("[log.at(-1), source.readyState]", `["31",2]`)
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestSnapshot: with a snapshot, a drained server goes on where it was. Nobody misses
// anything, and each client knows that.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_ENGINE_SNAPSHOT="+t.TempDir()+"/channels", "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100", "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	native := openNative(t, s.Front, "cname=a&seq=1")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	for _, name := range transports {
		connect(p, "a", fmt.Sprintf("seq: 1, transports: [%q]", name))
	}
	s.WaitSubscribers("a", 1+len(transports))
	n := 0
	push := func(count int) {
		t.Helper()
		pushAll(s, "a", numbered("", n+1, n+count))
		n += count
		native.Want("log", js(numbered("", 1, n)))
		for i := range transports {
			p.Want(fmt.Sprintf("comets[%d].seq", i), fmt.Sprint(n+1))
		}
		p.Want("got.length", fmt.Sprint(n*len(transports)))
	}
	push(3)
	for life := 1; life <= 2; life++ {
		s.Stop()
		p.Want("comets.some(c => c.state === 'open')", "false")
		s.Restart()
		push(20)
		p.Want("events", "[]")
		p.Want("recoveries", fmt.Sprint(life*len(transports)))
	}
	if m := withoutNetworkErrors(append(p.Mistakes(), native.Mistakes()...)); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestNativeSeveralChannels: an EventSource of several channels has all of them back after a
// break, is told of each channel of which something is missing, and goes on when one ends.
func TestNativeSeveralChannels(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_TIMEOUT=600")
	proxy := servertest.NewProxy(t, s.Front)
	p := openNative(t, proxy.URL, "cname=a&seq=1&cname=b&seq=1&cname=c&seq=1")
	const all = `["a","b"].map(c => log.filter(m => m.includes(c)))`
	a, b := []string{}, []string{}
	push := func(n int) {
		t.Helper()
		from := len(a) + 1
		for i := from; i < from+n; i++ {
			s.Push("a", fmt.Sprint("a", i))
			s.Push("b", fmt.Sprint("b", i))
			a, b = append(a, fmt.Sprint("a", i)), append(b, fmt.Sprint("b", i))
		}
	}
	s.WaitSubscribers("c", 1)
	push(3)
	p.Want(all, js([][]string{a, b}))
	for range 2 {
		proxy.Cut()
		push(4)
		p.Want(all, js([][]string{a, b}))
		s.WaitSubscribers("b", 1)
	}
	s.Kill()
	s.Restart()
	s.WaitSubscribers("b", 1)
	p.Want(`log.filter(m => m.startsWith("lost"))`, js([]string{"lost -1 epoch", "lost -1 epoch", "lost -1 epoch"}))
	s.Call("/end", "cname", "a", "content", "a end")
	s.Push("b", "b after")
	p.Want(`log.slice(-2)`, `["a end","b after"]`)
	for _, name := range []string{"b", "c"} {
		s.Call("/end", "cname", name, "content", "")
	}
	p.Want("source.readyState", "2")
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}
