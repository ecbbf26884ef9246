package web_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

// hostile are contents that would be code if they were not escaped, in HTML, in a script
// or in a string.
var hostile = []string{
	"</script><script>parent.pwned = 1</script>",
	"</SCRIPT ><script>parent.pwned = 1</script>",
	"<!--<script>",
	"--></script><img src=x onerror='parent.pwned = 1'>",
	`");parent.pwned=1;("`,
	`\");parent.pwned=1;//`,
	`'+(parent.pwned=1)+'`,
	"\u2028parent.pwned=1\u2029//",
	"*/parent.pwned=1/*",
	"${parent.pwned=1}`",
	"]]><script>parent.pwned=1</script>",
	"&lt;/script&gt;&#60;script&#62;",
	"last",
}

// sameOrigin serves a page and, on the same origin, the front port. change, if given,
// alters the answers.
func sameOrigin(t *testing.T, front, page string, change func([]byte) []byte) string {
	t.Helper()
	target, err := url.Parse(front)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	if change != nil {
		proxy.ModifyResponse = func(r *http.Response) error {
			r.Body = changedBody{r.Body, change}
			r.Header.Del("Content-Length")
			return nil
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, page)
		case "/favicon.ico":
			w.WriteHeader(204)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return s.URL
}

// changedBody alters a body as it arrives. The change must not make it longer.
type changedBody struct {
	io.ReadCloser
	change func([]byte) []byte
}

func (b changedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return copy(p, b.change(p[:n])), err
}

// unescaped is the framing of a server that does not escape '<'.
func unescaped(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`\u003c`), []byte("<")) }

const hostilePage = `<!DOCTYPE html><title>victim</title><script>
window.pwned = 0;
const got = [];
function icomet_cb(m) { for (const one of [].concat(m)) if (one.type === 'data') got.push(one.content); }
function viaIframe(query) {
	const frame = document.createElement('iframe');
	frame.src = '/iframe?' + query;
	document.body.append(frame);
}
function viaScript(query) {
	const script = document.createElement('script');
	script.src = '/poll?' + query;
	document.head.append(script);
	return new Promise(resolve => { script.onload = () => resolve('loaded'); script.onerror = () => resolve('refused'); });
}
</script><body></body>`

// TestContentDoesNotExecute: whatever the content and the channel's name are, they arrive
// as text in forever iframes and by JSONP. With the escaping undone on the way, the same
// page is taken over, which shows that the test works.
func TestContentDoesNotExecute(t *testing.T) {
	s := servertest.Start(t, "ICOMET_FRONT_CHANNEL_BUFFER_SIZE=100")
	b := browser.Start(t)
	names := []string{"plain", "</script><script>parent.pwned = 1</script>", `");parent.pwned=1;("`, "<img src=x onerror=parent.pwned=1>"}
	for _, name := range names {
		for _, content := range hostile {
			s.Push(name, content)
		}
	}
	for _, name := range names {
		query := js("seq=1&cname=" + url.QueryEscape(name))
		for _, way := range []string{"viaIframe", "viaScript"} {
			p := b.Open(t, sameOrigin(t, s.Front, hostilePage, nil))
			p.Run("void " + way + "(" + query + ")")
			p.Want("got", js(hostile))
			p.Want("pwned", "0")
			p.Want("[...document.querySelectorAll('iframe')].map(f => f.contentDocument.querySelectorAll('img').length)",
				map[string]string{"viaIframe": "[0]", "viaScript": "[]"}[way])
			p.WantNoMistakes()
			p.Close()
		}
		// Opened directly in a tab, they are text.
		for _, path := range []string{"poll?", "sub?", "poll?cb=f&", "nothing/" + url.PathEscape(name) + "?"} {
			p := b.Open(t, s.Front+"/"+path+"seq=1&cname="+url.QueryEscape(name))
			p.Want("window.pwned === undefined", "true")
			p.Want("document.contentType === 'text/html'", "false")
			p.Close()
		}
	}
	p := b.Open(t, sameOrigin(t, s.Front, hostilePage, unescaped))
	p.Run("viaIframe('cname=plain&seq=1')")
	p.Want("pwned", "1")
	p.Close()
}

// TestCallbackDoesNotExecute: a callback that is not a name is refused.
func TestCallbackDoesNotExecute(t *testing.T) {
	s := servertest.Start(t)
	b := browser.Start(t)
	p := b.Open(t, sameOrigin(t, s.Front, hostilePage, nil))
	defer p.Close()
	for _, cb := range []string{
		"pwned=1//", "(function(){pwned=1})", "pwned=1;icomet_cb", "icomet_cb;pwned=1;x", "alert`1`", "a[pwned=1]", "\u2028pwned=1;x",
		"/**/icomet_cb", "</script>", "icomet_cb\npwned=1;x", "ünï", "f(", "",
	} {
		for _, path := range []string{"/poll?cname=a&cb=", "/sub?cname=a&cb=", "/ping?cb="} {
			script := "new Promise(resolve => { const s = document.createElement('script'); s.src = " + js(path+url.QueryEscape(cb)) +
				"; s.onload = () => resolve('loaded'); s.onerror = () => resolve('refused'); document.head.append(s); })"
			if got := p.Text(script); got != "refused" && cb != "" { // "" asks for bare JSON, which does nothing
				t.Errorf("%s%s: %s", path, cb, got)
			}
			p.Want("pwned", "0")
		}
	}
	p.Run("viaScript('cname=a&cb=icomet_cb')") // a name is called
	s.Push("a", "x")
	p.Run("viaScript('cname=a&seq=1')")
	p.Want("got", `["x"]`)
}

// attacks are what a page can make a browser send to another origin. Each ends when the
// browser has the answer, or has been refused it.
const attacks = `<!DOCTYPE html><title>evil</title><body></body><script>
const loaded = (kind, set) => new Promise(resolve => {
	const e = document.createElement(kind);
	set(e);
	e.onload = e.onerror = () => resolve();
	document.body.append(e);
});
const form = (admin, method, cname) => new Promise(resolve => {
	const frame = document.createElement('iframe');
	frame.name = 'target' + Math.random();
	document.body.append(frame);
	const f = document.createElement('form');
	f.method = method; f.action = admin + '/push'; f.target = frame.name;
	for (const [name, value] of [['cname', cname], ['content', 'x']]) {
		const input = document.createElement('input');
		input.name = name; input.value = value;
		f.append(input);
	}
	document.body.append(f);
	frame.onload = () => resolve();
	f.submit();
});
const quiet = p => p.then(() => 0, () => 0);
const all = {
	get: (admin, c) => quiet(fetch(admin + '/push?content=x&cname=' + c, { mode: 'no-cors' })),
	cors: (admin, c) => quiet(fetch(admin + '/push?content=x&cname=' + c)),
	credentials: (admin, c) => quiet(fetch(admin + '/push?content=x&cname=' + c, { mode: 'no-cors', credentials: 'include' })),
	unreferred: (admin, c) => quiet(fetch(admin + '/push?content=x&cname=' + c, { mode: 'no-cors', referrerPolicy: 'no-referrer' })),
	post: (admin, c) => quiet(fetch(admin + '/push', { mode: 'no-cors', method: 'POST', body: new URLSearchParams({ cname: c, content: 'x' }) })),
	text: (admin, c) => quiet(fetch(admin + '/push?content=x&cname=' + c, { mode: 'no-cors', method: 'POST', body: 'text/plain' })),
	image: (admin, c) => loaded('img', e => e.src = admin + '/push?content=x&cname=' + c),
	script: (admin, c) => loaded('script', e => e.src = admin + '/sign?cb=f&cname=' + c),
	style: (admin, c) => loaded('link', e => { e.rel = 'stylesheet'; e.href = admin + '/push?content=x&cname=' + c; }),
	frame: (admin, c) => loaded('iframe', e => e.src = admin + '/push?content=x&cname=' + c),
	sandboxed: (admin, c) => loaded('iframe', e => { e.sandbox = 'allow-scripts'; e.srcdoc = '<img src="' + admin + '/push?content=x&cname=' + c + '">'; }),
	formGet: (admin, c) => form(admin, 'GET', c),
	formPost: (admin, c) => form(admin, 'POST', c),
};
async function attack(admin) {
	window.f = () => 0;
	for (const name in all) await all[name](admin, name);
	return Object.keys(all).join(' ');
}
</script>`

// TestAdminPortFromAnotherSite: a page of another site cannot use the admin port through
// a browser that reaches it, in any of these ways, nor under a host name that the site
// has pointed to it (DNS rebinding). Each way works on a server that is configured to
// allow everybody, which shows that it is the check that refuses.
func TestAdminPortFromAnotherSite(t *testing.T) {
	b := browser.Start(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, attacks) }))
	defer page.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(page.URL, "http://"), ":")
	evil := "http://evil.localhost:" + port // Chromium resolves this name to 127.0.0.1
	for _, guarded := range []bool{true, false} {
		var environ []string
		if !guarded {
			environ = []string{"ICOMET_ADMIN_HOSTS=*", "ICOMET_ADMIN_ALLOW_ORIGINS=*"}
		}
		s := servertest.Start(t, environ...)
		p := b.Open(t, evil+"/")
		names := strings.Fields(p.Text("attack(" + js(s.Admin) + ")"))
		if len(names) < 13 {
			t.Errorf("only %q were tried", names)
		}
		rebound := b.Open(t, strings.Replace(s.Admin, "127.0.0.1", "rebound.localhost", 1)+"/push?cname=rebound&content=x")
		rebound.Close()
		for _, name := range append(names, "rebound") {
			want := fmt.Sprintf("{%q: 1}\n", name)
			if guarded {
				want = "{}\n"
			}
			s.CheckFor(servertest.Patience, func() error {
				if got := s.Call("/check", "cname", name); got != want {
					return fmt.Errorf("guarded %v: by %s: %q", guarded, name, got)
				}
				return nil
			})
		}
		p.Close()

		// A page of the same host on another port can sign and publish.
		own := b.Open(t, page.URL+"/")
		names = strings.Fields(own.Text("attack(" + js(s.Admin) + ")"))
		for _, name := range names {
			if name == "sandboxed" {
				continue // has no origin any more
			}
			if got := s.Call("/check", "cname", name); got != fmt.Sprintf("{%q: 1}\n", name) {
				t.Errorf("guarded %v: %s of the same host: %q", guarded, name, got)
			}
		}
		own.Close()
	}
}

// TestAdminPortListedOrigin: an origin in admin.allow_origins may make calls, also by
// JSONP.
func TestAdminPortListedOrigin(t *testing.T) {
	b := browser.Start(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, attacks) }))
	defer page.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(page.URL, "http://"), ":")
	desk := "http://desk.localhost:" + port
	s := servertest.Start(t, "ICOMET_ADMIN_ALLOW_ORIGINS="+desk)
	for origin, want := range map[string]string{desk: "{%q: 1}\n", "http://evil.localhost:" + port: "{}\n"} {
		p := b.Open(t, origin+"/")
		for _, name := range []string{"cors", "post", "script", "formPost"} {
			p.Text("all." + name + "(" + js(s.Admin) + ", " + js(name) + ").then(() => 'done')")
			if want != "{}\n" {
				want = fmt.Sprintf("{%q: 1}\n", name)
			}
			if got := s.Call("/check", "cname", name); got != want {
				t.Errorf("%s from %s: %q", name, origin, got)
			}
			if want != "{}\n" {
				s.Call("/close", "cname", name)
			}
		}
		p.Close()
	}
}
