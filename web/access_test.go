package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// signFor is the application's sign URL: it calls the admin port, and returns wrong
// tokens for the first answers.
func (s *site) signFor(server *servertest.Server, spoil int64) *atomic.Int64 {
	calls := new(atomic.Int64)
	s.mux.HandleFunc("/sign", func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		answer := server.Call("/sign", "cname", r.FormValue("cname"))
		if n <= spoil {
			i := strings.Index(answer, `"token":"`) + len(`"token":"`)
			answer = answer[:i] + strings.Repeat("0", 32) + answer[i+32:]
		}
		if cb := r.FormValue("cb"); cb != "" {
			answer = cb + "(" + strings.TrimSpace(answer) + ");"
		}
		io.WriteString(w, answer)
	})
	return calls
}

func TestSign(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	b := browser.Start(t)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			site := newSite(t, s.Front)
			calls := site.signFor(s, 2)
			p := b.Open(t, site.URL)
			defer p.Close()
			connect(p, "signed "+name, fmt.Sprintf("signUrl: '/sign?x=1', transports: [%q]", name))
			s.WaitSubscribers("signed "+name, 1)
			s.Push("signed "+name, "m1")
			p.Want("got", `["m1"]`)
			p.Want("events", `[{"type":"error","code":401},{"type":"error","code":401}]`)
			if n := calls.Load(); n != 3 {
				t.Errorf("%d signs, want 3", n)
			}
			p.WantNoMistakes()
			p.Run("comets[0].stop()")
		})
	}
}

// TestSignByScript: signUrl is on another origin without CORS, like the original's
// sign.php, or is the admin port itself, as in a test set-up.
func TestSignByScript(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	connect(p, "a", fmt.Sprintf("signUrl: '%s/sign'", s.Admin))
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
}

// TestTokenFromApplication: a token function is called again after a 401. Without one,
// the client reports what it needs and waits for setToken.
func TestTokenFromApplication(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	site := newSite(t, s.Front)
	site.signFor(s, 0)
	p := browser.Start(t).Open(t, site.URL)
	const get = "(await (await fetch('/sign?cname=a')).json()).token"
	p.Run("window.asked = []; null")
	connect(p, "a", "token: async why => { asked.push(why.denied); return why.denied ? "+get+" : 'wrong' }")
	s.WaitSubscribers("a", 1)
	p.Want("asked", "[0,1]")
	p.Run("comets[0].stop()")

	connect(p, "a", "token: 'wrong'")
	p.Want("comets[1].state", `"unauthorized"`)
	p.Run("(async () => comets[1].setToken(" + get + "))()")
	s.WaitSubscribers("a", 1)
	s.Push("a", "m1")
	p.Want("got", `["m1"]`)
	p.WantNoMistakes()
}

// TestTooMany: after a 429 the client waits and tries again.
func TestTooMany(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "ICOMET_FRONT_MAX_SUBSCRIBERS_PER_CHANNEL=1")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	connect(p, "a", "")
	s.WaitSubscribers("a", 1)
	p.Run("window.waits = []; null")
	connect(p, "a", "")
	p.Run("comets[1].on('state', e => e.retryIn && waits.push(e.retryIn)); null")
	p.Want("events", `[{"type":"error","code":429}]`)
	p.Want("comets[1].state", `"waiting"`)
	p.Want("waits.every(w => w >= 5000)", "true")
	p.Run("comets[0].stop()")
	p.Want("comets[1].state", `"open"`)
	p.WantNoMistakes()
}

// TestClose: when the application closes the channel, the client stops; start() connects
// again.
func TestClose(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	site := newSite(t, s.Front)
	for _, name := range transports {
		t.Run(name, func(t *testing.T) {
			p := b.Open(t, site.URL)
			defer p.Close()
			connect(p, name, fmt.Sprintf("transports: [%q]", name))
			s.WaitSubscribers(name, 1)
			s.Call("/close", "cname", name)
			p.Want("events", `[{"type":"close"}]`)
			p.Want("comets[0].state", `"closed"`)
			p.Run("comets[0].start()")
			s.WaitSubscribers(name, 1)
			s.Push(name, "m1")
			p.Want("got", `["m1"]`)
			p.WantNoMistakes()
		})
	}
}

// TestPub: pub() sends cname and content to the application, in each way.
func TestPub(t *testing.T) {
	s := servertest.Start(t)
	site := newSite(t, s.Front)
	site.mux.HandleFunc("/pub", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("content") == "forbidden" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		answer := s.Call("/push", "cname", r.FormValue("cname"), "content", r.Method+" "+r.FormValue("content"))
		if cb := r.FormValue("cb"); cb != "" {
			answer = cb + "(" + answer + ")"
		}
		io.WriteString(w, answer)
	})
	p := browser.Start(t).Open(t, site.URL)
	want := []string{}
	for _, c := range []struct{ options, method string }{
		{"pubUrl: '/pub'", "GET"}, {"pubUrl: '/pub', pubMethod: 'POST'", "POST"}, {"pubUrl: '/pub?cb=?'", "GET"},
	} {
		p.Run("got.length = 0; window.answer = 0")
		connect(p, "pub", "seq: 1, "+c.options)
		p.Run("comets[comets.length - 1].pub('a&b=c ü', a => answer = a.type); null")
		p.Want("answer", `"ok"`)
		want = append(want, c.method+" a&b=c ü")
		p.Want("got", js(want))
		p.Run("comets[comets.length - 1].stop()")
	}
	connect(p, "pub", "pubUrl: '/pub'")
	p.Want("[comets[3].pub(5), comets[0].pub({})]", "[false,false]")
	p.WantNoMistakes()
	p.Run("comets[3].pub('forbidden').catch(e => window.failure = e.message)")
	p.Want("failure", `"HTTP 403"`)
	// A failed promise that nobody handles is no error.
	p.Run("comets[3].pub('forbidden'); null")
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}

// TestOriginalOptions: the constructor starts the client, and the option names with
// underscores work.
func TestOriginalOptions(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	site := newSite(t, s.Front)
	site.signFor(s, 0)
	site.mux.HandleFunc("/pub", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, s.Call("/push", "cname", r.FormValue("cname"), "content", r.FormValue("content")))
	})
	p := browser.Start(t).Open(t, site.URL)
	u, err := url.JoinPath(s.Front, "/sub")
	if err != nil {
		t.Fatal(err)
	}
	p.Run(fmt.Sprintf(`window.comet = new iComet({channel: 'a', sign_url: '/sign', sub_url: %q, pub_url: '/pub',
		sub_callback: c => got.push(c)}); null`, u))
	s.WaitSubscribers("a", 1)
	p.Run("comet.pub('hello'); null")
	p.Want("got", `["hello"]`)
	p.WantNoMistakes()
}

// TestOriginalSetUp: all three URLs are the server's own, and the page is on another
// port, as in the original's documents. A second client on the page gets the same.
func TestOriginalSetUp(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_AUTH=token")
	p := browser.Start(t).Open(t, newSite(t, s.Front).URL)
	p.Run(fmt.Sprintf(`for (let i = 0; i < 2; i++) comets.push(new iComet({
		channel: 'abc', signUrl: '%[1]s/sign', subUrl: '%[2]s/sub', pubUrl: '%[1]s/pub', callback: content => got.push(i + content),
	})); window.answers = []; null`, s.Admin, s.Front))
	p.Want("comets.map(c => c.state)", `["open","open"]`)
	p.Run("comets[0].pub('a&b', answer => answers.push(answer.type)).then(answer => answers.push(answer.type)); null")
	p.Want("got.sort()", `["0a&b","1a&b"]`)
	p.Want("answers", `["ok","ok"]`)
	p.Run(`comets[0].pub('"').catch(e => window.failure = e.message)`) // not the body of a JSON string
	p.Want("failure.startsWith('no answer from http')", "true")
	p.Run("comets[0].stop(); comets[1].stop()")
	s.WaitSubscribers("abc", 0)
	p.Run("comets[1].start()")
	s.WaitSubscribers("abc", 1)
	s.Push("abc", "again")
	p.Want("got.sort()", `["0a&b","1a&b","1again"]`)
}
